package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// handshaken is a listener whose connections have shaken hands: those that chose
// HTTP/2 as they are, the others as a strictConn. Each handshake has a goroutine
// of its own, which ends with the handshake, its time, or the listener.
type handshaken struct {
	net.Listener
	config *tls.Config
	time   time.Duration // of a handshake
	log    *slog.Logger

	done   context.Context // ends with the listener
	close  context.CancelFunc
	ready  chan net.Conn
	failed chan error // why nothing more is accepted
	hands  sync.WaitGroup
}

// shakeHands begins to accept.
func shakeHands(l net.Listener, config *tls.Config, time time.Duration, log *slog.Logger) *handshaken {
	h := &handshaken{Listener: l, config: config, time: time, log: log, ready: make(chan net.Conn), failed: make(chan error, 1)}
	h.done, h.close = context.WithCancel(context.Background())
	h.hands.Add(1)
	go h.acceptAll()
	return h
}

// Accept implements net.Listener.
func (h *handshaken) Accept() (net.Conn, error) {
	select {
	case c := <-h.ready:
		return c, nil
	case err := <-h.failed:
		h.failed <- err
		return nil, err
	case <-h.done.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It returns when no handshake is under way.
func (h *handshaken) Close() error {
	h.close()
	err := h.Listener.Close()
	h.hands.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// most is the longest pause after an error that may pass, such as too many open
// files.
const mostPause = time.Second

func (h *handshaken) acceptAll() {
	defer h.hands.Done()
	pause := 5 * time.Millisecond
	for {
		c, err := h.Listener.Accept()
		var passing interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = 5 * time.Millisecond
			h.hands.Add(1)
			go h.shake(c)
			continue
		case h.done.Err() != nil:
			return
		case !errors.As(err, &passing) || !passing.Temporary():
			h.failed <- err
			return
		}
		h.log.Warn("accepting a connection failed; trying again", "error", err)
		timer := time.NewTimer(pause)
		pause = min(2*pause, mostPause)
		select {
		case <-timer.C:
		case <-h.done.Done():
			timer.Stop()
			return
		}
	}
}

// shake does one handshake, and hands the connection on.
func (h *handshaken) shake(raw net.Conn) {
	defer h.hands.Done()
	ctx, cancel := context.WithTimeout(h.done, h.time)
	defer cancel()
	conn := tls.Server(raw, h.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		h.log.Debug("a TLS handshake failed", "client", raw.RemoteAddr().String(), "error", err)
		h.drop(raw)
		return
	}
	var ready net.Conn = conn
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		ready = &strictConn{Conn: conn}
	}
	select {
	case h.ready <- ready:
	case <-h.done.Done():
		h.drop(raw)
	}
}

func (h *handshaken) drop(c net.Conn) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		h.log.Debug("closing a connection", "error", err)
	}
}

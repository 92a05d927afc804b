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

// handshakeListener is a listener of connections after the TLS handshake: those
// that negotiated HTTP/2 (ALPN) as they are, the others as a strictConn. Each
// handshake has a goroutine of its own, which ends with the handshake, its
// timeout, or the listener.
type handshakeListener struct {
	net.Listener
	config  *tls.Config
	timeout time.Duration // of a handshake
	log     *slog.Logger

	done       context.Context // ends with the listener
	cancel     context.CancelFunc
	ready      chan net.Conn
	acceptErr  chan error // why nothing more is accepted
	handshakes sync.WaitGroup
}

// newHandshakeListener begins to accept.
func newHandshakeListener(l net.Listener, config *tls.Config, timeout time.Duration, log *slog.Logger) *handshakeListener {
	h := &handshakeListener{Listener: l, config: config, timeout: timeout, log: log, ready: make(chan net.Conn), acceptErr: make(chan error, 1)}
	h.done, h.cancel = context.WithCancel(context.Background())
	h.handshakes.Add(1)
	go h.acceptLoop()
	return h
}

// Accept implements net.Listener.
func (h *handshakeListener) Accept() (net.Conn, error) {
	select {
	case c := <-h.ready:
		return c, nil
	case err := <-h.acceptErr:
		h.acceptErr <- err
		return nil, err
	case <-h.done.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It returns when no handshake is under way.
func (h *handshakeListener) Close() error {
	h.cancel()
	err := h.Listener.Close()
	h.handshakes.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// maxBackoff is the longest backoff after a temporary error, such as too many
// open files.
const maxBackoff = time.Second

func (h *handshakeListener) acceptLoop() {
	defer h.handshakes.Done()
	backoff := 5 * time.Millisecond
	for {
		c, err := h.Listener.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			backoff = 5 * time.Millisecond
			h.handshakes.Add(1)
			go h.handshake(c)
			continue
		case h.done.Err() != nil:
			return
		case !errors.As(err, &temporary) || !temporary.Temporary():
			h.acceptErr <- err
			return
		}
		h.log.Warn("accept failed, retrying", "error", err)
		timer := time.NewTimer(backoff)
		backoff = min(2*backoff, maxBackoff)
		select {
		case <-timer.C:
		case <-h.done.Done():
			timer.Stop()
			return
		}
	}
}

// handshake does one handshake, and passes the connection to Accept.
func (h *handshakeListener) handshake(raw net.Conn) {
	defer h.handshakes.Done()
	ctx, cancel := context.WithTimeout(h.done, h.timeout)
	defer cancel()
	conn := tls.Server(raw, h.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		h.log.Debug("TLS handshake failed", "client", raw.RemoteAddr().String(), "error", err)
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

func (h *handshakeListener) drop(c net.Conn) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		h.log.Debug("closing a connection", "error", err)
	}
}

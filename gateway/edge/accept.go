package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// maxBackoff is the longest backoff after a temporary error, such as too many
// open files.
const maxBackoff = time.Second

// accept serves the connections of l, each in a goroutine of its own, until l is
// closed. The error is that of a listener that fails.
func (s *Server) accept(l net.Listener, serve func(net.Conn)) error {
	backoff := 5 * time.Millisecond
	for {
		c, err := l.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			backoff = 5 * time.Millisecond
			go serve(c)
			continue
		case s.done.Err() != nil:
			return nil
		case !errors.As(err, &temporary) || !temporary.Temporary():
			return err
		}
		s.opts.Log.Warn("accept failed, retrying", "error", err)
		timer := time.NewTimer(backoff)
		backoff = min(2*backoff, maxBackoff)
		select {
		case <-timer.C:
		case <-s.done.Done():
			timer.Stop()
			return nil
		}
	}
}

// serveTLS serves a connection from its handshake on, which has a timeout and ends with the server.
func (s *Server) serveTLS(raw net.Conn) {
	conn := tls.Server(raw, s.tlsConfig)
	if err := s.handshake(conn); err != nil {
		s.opts.Log.Debug("TLS handshake failed", "client", raw.RemoteAddr().String(), "error", err)
		s.drop(raw)
		return
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol == "h2" {
		if !s.http2Conns.push(conn) {
			s.drop(raw)
		}
		return
	}
	s.http1.ServeConn(context.Background(), conn, &state)
}

func (s *Server) handshake(conn *tls.Conn) error {
	ctx, cancel := context.WithTimeout(s.done, s.opts.Limits.HeaderTime)
	defer cancel()
	return conn.HandshakeContext(ctx)
}

func (s *Server) drop(c net.Conn) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.opts.Log.Debug("closing a connection", "error", err)
	}
}

// connQueue is a listener of connections that are pushed into it.
type connQueue struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newConnQueue(addr net.Addr) *connQueue {
	return &connQueue{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// push is false where the listener is closed.
func (q *connQueue) push(c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.done:
		return false
	}
}

// Accept implements net.Listener.
func (q *connQueue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (q *connQueue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr implements net.Listener.
func (q *connQueue) Addr() net.Addr { return q.addr }

package http2

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
)

// Server serves connections of HTTP/2.
type Server struct {
	opts    Options
	workers pool

	mu       sync.Mutex
	conns    map[*conn]struct{} // guarded by mu
	draining bool               // guarded by mu: connections that begin are told so
	closed   bool               // guarded by mu: there are no more
	none     chan struct{}      // guarded by mu: closed when there is no connection any more; nil until somebody waits
}

// New makes a server.
func New(o Options) (*Server, error) {
	if o.Handler == nil {
		return nil, errors.New("http2: a server needs a handler")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := o.Limits.withDefaults()
	if l.StreamWindow < 1 || l.StreamWindow > maxWindow || l.ConnectionWindow > maxWindow || l.Streams < 1 {
		return nil, errors.New("http2: a window that cannot be, or no streams")
	}
	o.Limits = l
	return &Server{opts: o, conns: map[*conn]struct{}{}}, nil
}

// ServeConn serves a connection on which HTTP/2 was agreed, by ALPN, and returns when it is closed and its handlers have returned.
// ctx is the base of its requests' contexts. state is the TLS connection's, for the requests; nil where there is none.
func (s *Server) ServeConn(ctx context.Context, netConn net.Conn, state *tls.ConnectionState) {
	c := newConn(ctx, netConn, state, &s.opts, &s.workers)
	if !s.enter(c) {
		_ = netConn.Close() // nothing was said on it
		return
	}
	defer s.leave(c)
	c.serve()
}

func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[c] = struct{}{}
	s.workers.enter()
	c.begin()
	if s.draining {
		c.drain()
	}
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.workers.leave()
	if len(s.conns) == 0 && s.none != nil {
		close(s.none)
		s.none = nil
	}
}

// Active is how many connections there are.
func (s *Server) Active() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// hasRequests reports whether there are requests under way. WebSockets are none.
func (s *Server) hasRequests() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.hasRequests() {
			return true
		}
	}
	return false
}

// Shutdown tells all clients to begin no more requests, and waits until those under way have ended, and all WebSockets, or ctx has:
// then the error says so where there are requests. Connections that are served from here on are told the same.
func (s *Server) Shutdown(ctx context.Context) error {
	for {
		s.mu.Lock()
		s.draining = true
		if len(s.conns) == 0 {
			s.mu.Unlock()
			return nil
		}
		if s.none == nil {
			s.none = make(chan struct{})
		}
		none := s.none
		for c := range s.conns {
			c.drain()
		}
		s.mu.Unlock()
		select {
		case <-none:
		case <-ctx.Done():
			if s.hasRequests() {
				return ctx.Err()
			}
			return nil
		}
	}
}

// Close ends all connections at once, and serves no more. It does not wait for the handlers, whose contexts end.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.conns {
		c.mu.Lock()
		c.fail(errConnection)
		c.mu.Unlock()
	}
	return nil
}

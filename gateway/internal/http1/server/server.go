package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

// Server serves connections of HTTP/1.1, each in the goroutine that brings it. Safe for concurrent use.
type Server struct {
	shared shared

	mu     sync.Mutex
	conns  map[*conn]struct{} // guarded by mu
	closed bool               // guarded by mu: there are no more
	left   *sync.Cond         // a connection has ended
}

// New makes a server. Its limits have to be positive.
func New(o Options) *Server {
	s := &Server{shared: shared{opts: o}, conns: map[*conn]struct{}{}}
	s.left = sync.NewCond(&s.mu)
	return s
}

// ServeConn serves a connection until it ends, and closes it. state is that of its TLS, nil where it has none. Requests have a
// context that ends with ctx.
func (s *Server) ServeConn(ctx context.Context, rwc net.Conn, state *tls.ConnectionState) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := newConn(&s.shared, rwc, state)
	c.cancel, c.ctx = cancel, ctx
	if s.shared.opts.ConnContext != nil {
		c.ctx, c.onEnd = s.shared.opts.ConnContext(ctx)
	}
	defer context.AfterFunc(c.ctx, c.watch.abandon)()
	if !s.add(c) {
		c.close()
		return
	}
	end := c.onEnd
	c.onEnd = func() {
		end()
		s.remove(c)
	}
	c.serve()
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.conns[c] = struct{}{}
	}
	return !s.closed
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.left.Broadcast()
}

// Drain has every further answer say that its connection ends.
func (s *Server) Drain() { s.shared.draining.Store(true) }

// Shutdown closes connections without a request, once they had a moment for their first, and waits until the others have answered
// and ended, or ctx has: then the error says so. Connections that are served from here on have one request. What was taken over by
// Hijack is not its business.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.left.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shared.closing.Store(true)
	for c := range s.conns {
		c.endIdle()
	}
	for len(s.conns) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.left.Wait()
	}
	return nil
}

// Close closes every connection, and ends the contexts of their requests.
func (s *Server) Close() error {
	s.Drain()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var all []error
	for c := range s.conns {
		c.cancel()
		all = append(all, ignoreClosed(c.rwc.Close()))
	}
	return errors.Join(all...)
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

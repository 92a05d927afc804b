package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Limits bound what one client may use.
type Limits struct {
	HeaderBytes int           // of a request's head; 431 beyond, or 414 where the target alone is longer
	HeaderTime  time.Duration // in which it must arrive, from its first byte on
	IdleTime    time.Duration // without a request
	BodyMinRate int64         // bytes a second, while a body with a Content-Length is waited for; 0 for any
	BodyTime    time.Duration // in which nothing of such a body may arrive, or by which it may fall behind the rate
}

// Options are what a Server is made of.
type Options struct {
	Handler http.Handler
	// Refuse answers a request that cannot be served as it was sent: its status, and why, without a word of what was sent. Of
	// the request is there what is known; its Header is empty. Optional: the status alone is answered.
	Refuse func(w http.ResponseWriter, r *http.Request, status int, reason string)
	// ConnContext is what the requests of a connection have in their context, and is to be called when it is closed, or speaks
	// HTTP no longer. Optional.
	ConnContext func(context.Context) (context.Context, func())
	Limits      Limits
	Log         *slog.Logger
}

// Server serves connections of HTTP/1.1, each in the goroutine that brings it. Safe for concurrent use.
type Server struct {
	opts     Options
	date     dateCache
	draining atomic.Bool // every answer ends its connection
	closing  atomic.Bool // a connection without a request ends

	mu     sync.Mutex
	conns  map[*conn]struct{} // guarded by mu
	closed bool               // guarded by mu: no connection is taken any more
	left   *sync.Cond         // a connection has ended
}

// New makes a server. Its limits have to be positive.
func New(o Options) *Server {
	s := &Server{opts: o, conns: map[*conn]struct{}{}}
	s.left = sync.NewCond(&s.mu)
	return s
}

// ServeConn serves a connection until it ends, and closes it. state is that of its TLS, nil where it has none. Requests have a
// context that ends with ctx.
func (s *Server) ServeConn(ctx context.Context, rwc net.Conn, state *tls.ConnectionState) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &conn{s: s, rwc: rwc, tls: state, remote: rwc.RemoteAddr().String(), cancel: cancel}
	c.ctx, c.onEnd = ctx, func() {}
	if s.opts.ConnContext != nil {
		c.ctx, c.onEnd = s.opts.ConnContext(ctx)
	}
	c.input.conn, c.output.conn = c, rwc
	c.changed = sync.NewCond(&c.mu)
	if !s.add(c) {
		c.close()
		return
	}
	defer s.remove(c)
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
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown takes no connection any more, closes those without a request, and waits until the others have answered and ended,
// or ctx has: then the error says so.
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
	s.closed = true
	s.closing.Store(true)
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

// dateCache is the Date of answers (RFC 9110, section 6.6.1), made once a second.
type dateCache struct{ last atomic.Pointer[date] }

type date struct {
	second int64
	text   string
}

func (d *dateCache) at(now time.Time) string {
	last := d.last.Load()
	if last == nil || last.second != now.Unix() {
		last = &date{now.Unix(), now.UTC().Format(http.TimeFormat)}
		d.last.Store(last)
	}
	return last.text
}

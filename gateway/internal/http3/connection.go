package http3

import (
	"context"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// lingerTime is how long a connection stays behind its last request when the server shuts down: closing it drops what the client has
// not acknowledged.
const lingerTime = time.Second

// connection ends a connection that has no request: streams on which a header is due are none.
type connection struct {
	conn *quic.Conn
	idle time.Duration

	mu     sync.Mutex
	timer  *time.Timer // guarded by mu: it runs while there is no request
	active int         // guarded by mu: requests
}

type connectionKey struct{}

// connContext is what the requests of a connection have in their context: the connection.
func (s *Server) connContext(ctx context.Context, conn *quic.Conn) context.Context {
	c := &connection{conn: conn, idle: s.opts.Limits.IdleTime}
	c.timer = time.AfterFunc(c.idle, func() { closeQuietly(conn) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.draining {
		c.drain()
	}
	context.AfterFunc(conn.Context(), func() {
		c.timer.Stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
	return context.WithValue(ctx, connectionKey{}, c)
}

// begin begins a request, and end ends it.
func (c *connection) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active++
	c.timer.Stop()
}

func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 {
		c.timer.Reset(c.idle)
	}
}

// drain has the connection end soon behind its last request.
func (c *connection) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle = lingerTime; c.active == 0 {
		c.timer.Reset(c.idle)
	}
}

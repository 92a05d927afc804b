package http2

import (
	"context"
	"sync"
	"time"
)

// requestContext is the context of a request: it ends with its stream, the connection, or when the handler has returned. It is
// part of the stream, and makes nothing that nobody asks for.
type requestContext struct {
	base context.Context // of the connection

	mu    sync.Mutex
	done  chan struct{}      // guarded by mu: made when it is asked for
	err   error              // guarded by mu
	after map[*func()]func() // guarded by mu
}

var _ interface {
	context.Context
	AfterFunc(func()) func() bool // which package context uses for its own children
} = (*requestContext)(nil)

// Deadline implements context.Context.
func (c *requestContext) Deadline() (time.Time, bool) { return c.base.Deadline() }

// Value implements context.Context.
func (c *requestContext) Value(key any) any { return c.base.Value(key) }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

// Err implements context.Context.
func (c *requestContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc calls f in a goroutine of its own when the context has ended, unless it is stopped before.
func (c *requestContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	key := &f
	if c.after == nil {
		c.after = make(map[*func()]func(), 1)
	}
	c.after[key] = f
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[key]
		delete(c.after, key)
		return waiting
	}
}

// cancel ends the context. Only the first call counts.
func (c *requestContext) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = context.Canceled
	if c.done != nil {
		close(c.done)
	}
	for _, f := range c.after {
		go f()
	}
	c.after = nil
}

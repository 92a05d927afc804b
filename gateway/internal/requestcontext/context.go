// Package requestcontext has the context of a request that a server serves.
package requestcontext

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Context ends when its server says so: with the connection, or when the handler has returned. It is part of what the server has
// for a request anyway, and makes nothing that nobody asks for. Base alone is to be set. Safe for concurrent use.
type Context struct {
	Base context.Context // of the connection: its values and its deadline. Its end is the server's to watch

	mu    sync.Mutex
	done  chan struct{} // guarded by mu: made when it is asked for
	err   error         // guarded by mu
	after []*func()     // guarded by mu
	room  [2]*func()    // of after
}

var _ interface {
	context.Context
	AfterFunc(func()) func() bool // which package context uses for its own children
} = (*Context)(nil)

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.Base.Deadline() }

// Value implements context.Context.
func (c *Context) Value(key any) any { return c.Base.Value(key) }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
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
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc is context.AfterFunc of any context, and costs less of a Context.
func AfterFunc(ctx context.Context, f func()) (stop func() bool) {
	if c, ok := ctx.(*Context); ok {
		return c.AfterFunc(f)
	}
	return context.AfterFunc(ctx, f)
}

// AfterFunc calls f in a goroutine of its own when the context has ended, unless it is stopped before.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = c.room[:0]
	}
	c.after = append(c.after, &f)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		i := slices.Index(c.after, &f)
		if i >= 0 {
			c.after = slices.Delete(c.after, i, i+1)
		}
		return i >= 0
	}
}

// Cancel ends the context. Only the first call counts.
func (c *Context) Cancel() {
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
		go (*f)()
	}
	c.after = nil
}

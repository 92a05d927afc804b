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
	after []Follower    // guarded by mu
	room  [2]Follower   // of after
}

// A Follower is told when a context has ended, in a goroutine of its own. Followers of one context are different pointers.
type Follower interface{ ContextEnded(err error) }

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

// Watch has a Follower told when a context of any kind has ended, and costs nothing of a Context. Its zero value watches none. One
// goroutine may use it.
type Watch struct {
	context  *Context
	follower Follower
	stop     func() bool // of a context of another kind
}

// Begin begins to watch a context.
func (w *Watch) Begin(ctx context.Context, f Follower) {
	if c, ok := ctx.(*Context); ok {
		w.context, w.follower = c, f
		c.follow(f)
		return
	}
	w.stop = context.AfterFunc(ctx, func() { f.ContextEnded(ctx.Err()) })
}

// End has the Follower told nothing from now on, unless the context has ended before.
func (w *Watch) End() {
	switch {
	case w.context != nil:
		w.context.leave(w.follower)
	case w.stop != nil:
		w.stop()
	}
}

// function is a Follower that is a function.
type function func()

func (f *function) ContextEnded(error) { (*f)() }

// AfterFunc calls f in a goroutine of its own when the context has ended, unless it is stopped before.
func (c *Context) AfterFunc(f func()) (stop func() bool) {
	follower := (*function)(&f)
	c.follow(follower)
	return func() bool { return c.leave(follower) }
}

// follow has f told of the end, at once where that has been.
func (c *Context) follow(f Follower) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f.ContextEnded(c.err)
		return
	}
	if c.after == nil {
		c.after = c.room[:0]
	}
	c.after = append(c.after, f)
}

// leave has f not told any more, and reports whether it would have been.
func (c *Context) leave(f Follower) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.after, f)
	if i >= 0 {
		c.after = slices.Delete(c.after, i, i+1)
	}
	return i >= 0
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
		go f.ContextEnded(c.err)
	}
	c.after = nil
}

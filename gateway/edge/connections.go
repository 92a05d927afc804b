package edge

import (
	"context"
	"sync"
)

// connections counts the goroutines of connections, and of who accepts them. Safe for concurrent use.
type connections struct {
	mu   sync.Mutex
	n    int           // guarded by mu
	none chan struct{} // guarded by mu: closed when there are none any more; nil until somebody waits
}

// begin begins so many.
func (c *connections) begin(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
}

// end ends one.
func (c *connections) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.none != nil {
		close(c.none)
		c.none = nil
	}
}

// wait waits until there are none, and is false where ctx ends first.
func (c *connections) wait(ctx context.Context) bool {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return true
	}
	if c.none == nil {
		c.none = make(chan struct{})
	}
	none := c.none
	c.mu.Unlock()
	select {
	case <-none:
		return true
	case <-ctx.Done():
		return false
	}
}

package streams

import (
	"context"
	"time"
)

// drainTimeout is how long the streams are waited for that were told to end.
const drainTimeout = 2 * time.Second

// Drain waits until no stream is registered or ctx ends; then it ends those that there are, and waits a moment until they
// have. Run goes on meanwhile.
func (i *Index) Drain(ctx context.Context) {
	select {
	case <-i.awaitEmpty():
	case <-ctx.Done():
	}
	i.mu.Lock()
	i.drained = true
	i.mu.Unlock()
	i.sweep(i.o.Now())
	for _, e := range i.registered() {
		i.end(e, Drain)
	}
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	select {
	case <-i.awaitEmpty():
	case <-timer.C:
	}
}

// awaitEmpty is closed when no stream is registered.
func (i *Index) awaitEmpty() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.empty == nil {
		i.empty = make(chan struct{})
	}
	empty := i.empty
	if i.entries.count == 0 {
		close(empty)
		i.empty = nil
	}
	return empty
}

package revocation

import (
	"sync"
	"sync/atomic"
	"time"
)

// A gate is where requests wait for news of a log that was not heard from for a while. There is one wait, which all of them
// share, and there is no other until there was news. It is safe for concurrent use.
type gate struct {
	mu      sync.Mutex
	pending *pendingWait // begun since the last news; guarded by mu

	waits, timeouts atomic.Uint64
}

// A pendingWait is over when there is news, or when its timer fires: whichever takes the timer ends it.
type pendingWait struct {
	over  chan struct{}
	timer *time.Timer
}

// wait returns when there is news, and after the limit at the latest. arrived says whether there was news already.
func (g *gate) wait(limit time.Duration, arrived func() bool) {
	g.mu.Lock()
	if arrived() {
		g.mu.Unlock()
		return
	}
	p := g.pending
	if p == nil {
		p = &pendingWait{over: make(chan struct{})}
		p.timer = time.AfterFunc(limit, func() {
			g.timeouts.Add(1)
			close(p.over)
		})
		g.pending = p
		g.waits.Add(1)
	}
	g.mu.Unlock()
	<-p.over
}

// open says that there is news.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.pending; p != nil {
		g.pending = nil
		if p.timer.Stop() {
			close(p.over)
		}
	}
}

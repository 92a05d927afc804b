package revocation

import (
	"sync"
	"sync/atomic"
	"time"
)

// A view that was not confirmed for maxUnconfirmed is not simply believed: the process may have been frozen, or its machine
// asleep. Who needs it waits for news, syncTimeout at most; where that was in vain, only MaxStaleness counts for as long again.
const (
	maxUnconfirmed = 2 * time.Second
	syncTimeout    = 250 * time.Millisecond
)

// A gate is where requests wait for news of a log that was not heard from for a while. There is one wait, which all of them
// share, and there is no other until there was news, or until the wait began longer ago than maxUnconfirmed: the process may
// have been frozen since, in the middle of the wait too. It is safe for concurrent use.
type gate struct {
	now func() time.Time
	// begun is told of each wait that begins, unless it has still to hear of the last: whoever makes news may hurry.
	begun chan struct{}

	mu      sync.Mutex
	pending *pendingWait // the last wait since there was news; guarded by mu

	waits, timeouts atomic.Uint64
}

// A pendingWait is over when there is news, or when its timer fires: whichever takes the timer ends it.
type pendingWait struct {
	began time.Time
	over  chan struct{}
	timer *time.Timer
}

// wait returns when there is news, or when it was waited for in vain, which takes the limit: again where a freeze took it.
// arrived says whether there was news already.
func (g *gate) wait(limit time.Duration, arrived func(now time.Time) bool) {
	for p := g.join(nil, limit, arrived); p != nil; p = g.join(p, limit, arrived) {
		<-p.over
	}
}

// join returns the wait to take part in; nil where there was news, or where the last wait is the one that was taken part in.
func (g *gate) join(last *pendingWait, limit time.Duration, arrived func(now time.Time) bool) *pendingWait {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if arrived(now) {
		return nil
	}
	p := g.pending
	switch {
	case p == nil || age(p.began, now) > maxUnconfirmed:
		p = g.begin(now, limit)
	case p == last:
		return nil
	}
	return p
}

// begin makes a wait the pending one. g.mu is held.
func (g *gate) begin(now time.Time, limit time.Duration) *pendingWait {
	p := &pendingWait{began: now, over: make(chan struct{})}
	p.timer = time.AfterFunc(limit, func() {
		g.timeouts.Add(1)
		close(p.over)
	})
	g.pending = p
	g.waits.Add(1)
	select {
	case g.begun <- struct{}{}:
	default:
	}
	return p
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

// age is how long ago something was by the wall clock or the monotonic one, whichever says longer: the one can be set
// back, the other stands still while the machine sleeps.
func age(then, now time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

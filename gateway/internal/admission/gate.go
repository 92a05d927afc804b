package admission

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Limits are what an upstream can take.
type Limits struct {
	Requests int           // in flight at a time; 0 for any number
	Queue    int           // how many more may wait
	Timeout  time.Duration // how long they may
	Breaker  Breaker
}

// share is how many requests of one client may be in flight.
func (l Limits) share() int { return (l.Requests + 1) / 2 }

// Why a request is not admitted.
const (
	QueueFull   = "full"    // as many wait as may
	TimedOut    = "timeout" // no slot came free in time, or none will
	BreakerOpen = "breaker" // too many failed
)

// RefusedError says that a request was not admitted.
type RefusedError struct {
	Upstream string
	Reason   string // QueueFull, TimedOut or BreakerOpen
	Text     string
	Wait     time.Duration // until it is worth another try; 0 where that is not known
}

func (e *RefusedError) Error() string { return "upstream " + e.Upstream + ": " + e.Text }

// Gate gives requests their slots at one upstream, in every generation. Safe for concurrent use.
type Gate struct {
	name   string
	now    func() time.Time
	notify func(upstream, breaker string)

	mu             sync.Mutex
	limits         Limits         // guarded by mu
	inFlight       int            // guarded by mu
	byClient       map[Client]int // of inFlight; none is 0; guarded by mu
	queue          queue          // guarded by mu
	interval       slotInterval   // guarded by mu
	refusedFull    uint64         // refused with QueueFull; guarded by mu
	refusedTimeout uint64         // refused with TimedOut; guarded by mu
	refusedBreaker uint64         // refused with BreakerOpen; guarded by mu
	breaker        breaker        // guarded by mu
}

// Status is what is counted of an upstream.
type Status struct {
	Upstream       string `json:"upstream"`
	Concurrency    int    `json:"concurrency"` // 0 for any number
	InFlight       int    `json:"in_flight"`
	Queued         int    `json:"queued"`
	RefusedFull    uint64 `json:"refused_full"`
	RefusedTimeout uint64 `json:"refused_timeout"`
	RefusedBreaker uint64 `json:"refused_breaker"`
	Breaker        string `json:"breaker"` // Closed, Open or HalfOpen
	Opened         uint64 `json:"breaker_opened"`
}

// Asked reports whether the breaker is closed.
func (s Status) Asked() bool { return s.Breaker == Closed }

// Enter admits a request, which waits for a slot where there is none, until Leave. more takes what it needs besides; it is called
// while other requests wait for it, maybe by another goroutine, again after each time that it was false, and not after Enter has
// returned. The error is a RefusedError, or that of ctx.
func (g *Gate) Enter(ctx context.Context, client Client, more Taker) error {
	return g.enter(ctx, client, more, false)
}

// Retry gives a request's slot back, and admits it anew, for another try: whatever the breaker says, and as Enter.
func (g *Gate) Retry(ctx context.Context, client Client, more Taker) error {
	g.Leave(client)
	return g.enter(ctx, client, more, true)
}

func (g *Gate) enter(ctx context.Context, client Client, more Taker, again bool) error {
	w, timeout, err := g.begin(client, more, again)
	if w == nil {
		return err
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case err := <-w.done:
		return err
	case <-timer.C:
		if g.giveUp(w, true) {
			return g.refused(TimedOut, fmt.Sprintf("no slot came free within %s (queue.timeout)", timeout))
		}
	case <-ctx.Done():
		if g.giveUp(w, false) {
			return ctx.Err()
		}
	}
	return <-w.done // which was there first
}

// begin admits a request, or puts it into the queue.
func (g *Gate) begin(client Client, more Taker, again bool) (w *waiter, timeout time.Duration, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !again {
		if ok, wait := g.breaker.admits(g.now()); !ok {
			g.refusedBreaker++
			return nil, 0, g.refusedByBreaker(wait)
		}
	}
	if g.queue.count == 0 && g.isFree(client) && more.Take() {
		g.admit(client)
		return nil, 0, nil
	}
	w = &waiter{client, more, make(chan error, 1)}
	if g.queue.count == 0 {
		g.interval.begin(g.now())
	}
	g.queue.add(w)
	g.dispatch() // those before it may be waiting for what it does not need
	switch {
	case len(w.done) > 0:
		return w, g.limits.Timeout, nil
	case g.queue.count <= g.limits.Queue && g.wouldTimeOut(client):
		g.queue.remove(w)
		g.refusedTimeout++
		return nil, 0, g.refused(TimedOut, fmt.Sprintf("the queue is served too slowly for a request to have a slot within %s (queue.timeout)", g.limits.Timeout))
	case g.queue.count <= g.limits.Queue:
		return w, g.limits.Timeout, nil
	}
	g.refusedFull++
	longest, own := g.queue.longest(), g.queue.find(client)
	err = g.refused(QueueFull, fmt.Sprintf("the queue is full: %d requests are in flight, and %d wait (queue.length)", g.inFlight, g.limits.Queue))
	if len(longest.waiting) <= len(own.waiting) {
		g.queue.remove(w)
		return nil, 0, err
	}
	newest := longest.waiting[len(longest.waiting)-1]
	g.queue.remove(newest)
	newest.done <- err
	return w, g.limits.Timeout, nil
}

// giveUp takes a request out of the queue; false where it has left it already.
func (g *Gate) giveUp(w *waiter, timedOut bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.queue.remove(w) {
		return false
	}
	if timedOut {
		g.refusedTimeout++
	}
	return true
}

func (g *Gate) refused(reason, text string) error {
	return &RefusedError{Upstream: g.name, Reason: reason, Text: text}
}

// refusedByBreaker is the error while the breaker is open. g.mu is held.
func (g *Gate) refusedByBreaker(wait time.Duration) error {
	return &RefusedError{g.name, BreakerOpen, fmt.Sprintf("%d requests in a row failed (breaker.failures)", g.breaker.failures), wait}
}

// Succeeded says that the upstream has answered a request.
func (g *Gate) Succeeded() {
	g.mu.Lock()
	closes := g.breaker.succeeded()
	g.mu.Unlock()
	if closes {
		g.notify(g.name, Closed)
	}
}

// Failed says that a request failed at the upstream. When the breaker opens, whoever waits is refused.
func (g *Gate) Failed() {
	g.mu.Lock()
	opens := g.breaker.failed(g.now())
	if opens {
		for g.queue.count > 0 {
			first := g.queue.clients[0].waiting[0]
			g.queue.remove(first)
			g.refusedBreaker++
			first.done <- g.refusedByBreaker(g.breaker.Open)
		}
	}
	g.mu.Unlock()
	if opens {
		g.notify(g.name, Open)
	}
}

// isFree reports whether there is a slot for a client. g.mu is held.
func (g *Gate) isFree(client Client) bool {
	return g.limits.Requests == 0 || g.inFlight < g.limits.Requests && g.byClient[client] < g.limits.share()
}

// wouldTimeOut reports whether the last in a client's queue would wait for longer than the timeout, by the average interval at which
// slots came free. As many as there are requests in flight wait in any case, so that there is always an interval to measure. g.mu is held.
func (g *Gate) wouldTimeOut(client Client) bool {
	ahead := min(g.queue.count, len(g.queue.find(client).waiting)*len(g.queue.clients))
	return ahead > g.inFlight && time.Duration(ahead)*g.interval.average > g.limits.Timeout
}

func (g *Gate) admit(client Client) {
	g.inFlight++
	g.byClient[client]++
}

// dispatch gives slots to those that wait, client by client (round robin), as long as there are any. g.mu is held.
func (g *Gate) dispatch() {
	for passed := 0; passed < len(g.queue.clients); {
		l := g.queue.clients[0]
		first := l.waiting[0]
		g.queue.rotate()
		if !g.isFree(l.client) || !first.more.Take() {
			passed++
			continue
		}
		passed = 0
		g.queue.remove(first)
		g.admit(l.client)
		g.interval.observe(g.now())
		first.done <- nil
	}
}

// Leave is called once for each Enter that succeeded, when what it took besides is given back.
func (g *Gate) Leave(client Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	if g.byClient[client]--; g.byClient[client] == 0 {
		delete(g.byClient, client)
	}
	g.dispatch()
}

// Limit has other limits be in force. What is under way goes on, and what waits beyond a shorter queue waits on.
func (g *Gate) Limit(l Limits) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limits, g.breaker.Breaker = l, l.Breaker
	g.dispatch()
}

// Dispatch lets those that wait go on, where what they need besides a slot has come free otherwise than by Leave.
func (g *Gate) Dispatch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dispatch()
}

// isIdle reports whether nothing is in flight or waits.
func (g *Gate) isIdle() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inFlight == 0 && g.queue.count == 0
}

// Status tells the counts.
func (g *Gate) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	return Status{
		g.name, g.limits.Requests, g.inFlight, g.queue.count, g.refusedFull, g.refusedTimeout, g.refusedBreaker,
		g.breaker.state(g.now()), g.breaker.opened,
	}
}

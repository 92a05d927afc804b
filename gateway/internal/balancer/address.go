package balancer

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// How long an ejection takes: the first, and the longest. Each is twice as long as the one before it, and less up to a
// fifth, by chance.
const (
	baseEjectionTime = time.Second
	maxEjectionTime  = 30 * time.Second
)

// The states of an address.
const (
	Healthy   = "healthy"
	Unhealthy = "unhealthy" // by checks
	Ejected   = "ejected"   // by requests that failed; until one succeeds
)

// States are all states.
var States = [...]string{Healthy, Unhealthy, Ejected}

// Status is what is known of an address.
type Status struct {
	Upstream       string    `json:"upstream"`
	Address        string    `json:"address"` // as Member.Name
	State          string    `json:"state"`
	Reason         string    `json:"reason,omitempty"` // why it is not healthy
	Since          time.Time `json:"since"`            // when the state began
	InFlight       int       `json:"in_flight"`
	Held           int       `json:"held,omitempty"`        // connections that are kept for one client each
	MaxConnections int       `json:"connections,omitempty"` // how many there may be, with those; 0 for any number
	Weight         int       `json:"weight"`                // 0: drained
	Share          int       `json:"slow_start,omitempty"`  // of its weight, in percent, while it is in slow start
	Ejections      uint64    `json:"ejections"`
}

// Change is a change of state.
type Change struct{ Upstream, Address, State, Reason string }

// Options are what a [Table] is made of.
type Options struct {
	// Now is the clock.
	Now func() time.Time
	// Intn is a random number below n, Float one of [0, 1).
	Intn  func(n int) int
	Float func() float64
	// Notify is told every change of state. It must not block.
	Notify func(Change)
}

// Address is one address of an upstream, in every generation. Safe for concurrent use.
type Address struct {
	upstream, name string
	o              *Options

	inFlight  atomic.Int32
	held      atomic.Int32  // connections that are kept for one client each
	proven    atomic.Bool   // a request succeeded, since the last ejection
	epoch     atomic.Uint32 // ejections so far: what a request says of an address before an ejection no longer counts
	until     atomic.Int64  // when the ejection ends, in ns; 0 when it is not ejected
	unhealthy atomic.Bool   // by checks
	errors5xx atomic.Int32  // in a row
	ejections atomic.Uint64
	began     atomic.Int64 // when slow start began, in ns; 0 when it is over, or never was

	weight         atomic.Int32 // in the last pool
	maxConnections atomic.Int32 // likewise: connections; 0 for any number
	slowStart      atomic.Int64 // likewise, in ns; 0 for none

	mu       sync.Mutex
	failures int       // ejections since a success; guarded by mu
	by5xx    bool      // the ejection is for 5xx; guarded by mu
	ejected  string    // why; guarded by mu
	failed   string    // why the last checks failed; guarded by mu
	since    time.Time // guarded by mu
	checks   int       // in a row whose outcome is not what unhealthy says; guarded by mu
}

// Name is that of its members.
func (a *Address) Name() string { return a.name }

// isEjected reports whether no request may try the address yet, now in ns.
func (a *Address) isEjected(now int64) bool { return now < a.until.Load() }

// isFull reports whether as many connections are used as there may be.
func (a *Address) isFull() bool {
	most := a.maxConnections.Load()
	return most > 0 && a.inFlight.Load()+a.held.Load() >= most
}

// use counts a request, unless the address is full, which is known again afterwards: others count at the same time.
func (a *Address) use() bool {
	n, most := a.inFlight.Add(1), a.maxConnections.Load()
	if most > 0 && n+a.held.Load() > most {
		a.inFlight.Add(-1)
		return false
	}
	return true
}

// minShare is with what share of its weight an address begins slow start.
const minShare = 0.1

// share is what part of its weight an address has, now in ns: it grows evenly in slow start.
func (a *Address) share(now int64) float64 {
	began, takes := a.began.Load(), a.slowStart.Load()
	if began == 0 || takes == 0 {
		return 1
	}
	if now-began >= takes {
		a.began.CompareAndSwap(began, 0)
		return 1
	}
	return max(minShare, float64(now-began)/float64(takes))
}

// Status tells the state.
func (a *Address) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	state, reason := a.state()
	status := Status{
		Upstream: a.upstream, Address: a.name, State: state, Reason: reason, Since: a.since.UTC(),
		InFlight: int(a.inFlight.Load()), Held: int(a.held.Load()), MaxConnections: int(a.maxConnections.Load()), Weight: int(a.weight.Load()), Ejections: a.ejections.Load(),
	}
	if share := a.share(a.o.Now().UnixNano()); share < 1 && state == Healthy {
		status.Share = int(share * 100)
	}
	return status
}

// state is the state and its reason; a.mu is held.
func (a *Address) state() (state, reason string) {
	switch {
	case a.unhealthy.Load():
		return Unhealthy, a.failed
	case a.until.Load() != 0:
		return Ejected, a.ejected
	}
	return Healthy, ""
}

// change applies f, and tells if the state is another afterwards.
func (a *Address) change(f func()) {
	a.mu.Lock()
	before, _ := a.state()
	f()
	state, reason := a.state()
	if state != before {
		a.since = a.o.Now()
		if state == Healthy {
			a.began.Store(a.since.UnixNano())
		}
	}
	a.mu.Unlock()
	if state != before {
		a.o.Notify(Change{a.upstream, a.name, state, reason})
	}
}

// succeeded has one success bring the address back.
func (a *Address) succeeded(epoch uint32) {
	if a.proven.Load() && a.errors5xx.Load() == 0 {
		return
	}
	a.change(func() {
		if a.epoch.Load() != epoch {
			return
		}
		a.until.Store(0)
		a.failures, a.by5xx = 0, false
		a.errors5xx.Store(0)
		a.proven.Store(true)
	})
}

// eject takes the address out, for as long as its ejections since a success say. Requests that began before the last
// ejection say nothing new.
func (a *Address) eject(epoch uint32, reason string, by5xx bool) {
	a.change(func() {
		if !a.epoch.CompareAndSwap(epoch, epoch+1) {
			return
		}
		takes := min(baseEjectionTime<<min(a.failures, 10), maxEjectionTime)
		takes -= time.Duration(a.o.Float() * float64(takes) / 5)
		a.until.Store(a.o.Now().Add(takes).UnixNano())
		a.failures++
		a.proven.Store(false)
		a.errors5xx.Store(0)
		a.ejected, a.by5xx = reason, by5xx
		a.ejections.Add(1)
	})
}

// failed5xx counts a 5xx, and reports whether that makes so many in a row.
func (a *Address) failed5xx(most int) bool {
	return int(a.errors5xx.Add(1)) >= most
}

// isEjectedBy5xx reports whether 5xx took the address out.
func (a *Address) isEjectedBy5xx() bool {
	if a.until.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.by5xx
}

// checked counts the outcome of a check: so many in a row change what the address is. reason is why it failed, "" where it
// did not.
func (a *Address) checked(reason string, healthy, unhealthy int) {
	a.change(func() {
		if reason != "" {
			a.failed = "health check: " + reason
		}
		was := a.unhealthy.Load()
		if was == (reason != "") {
			a.checks = 0
			return
		}
		a.checks++
		if need := map[bool]int{true: healthy, false: unhealthy}[was]; a.checks >= need {
			a.checks = 0
			a.unhealthy.Store(!was)
		}
	})
}

// unchecked forgets what checks said.
func (a *Address) unchecked() {
	a.change(func() {
		a.checks = 0
		a.unhealthy.Store(false)
	})
}

func describe5xx(n int) string { return strconv.Itoa(n) + " answers of 5xx in a row" }

package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How names are looked up.
const (
	lookupTimeout = 5 * time.Second
	maxConcurrent = 8 // lookups of one resolver
	minInterval   = time.Second
	defaultTTL    = 10 * time.Second // of an answer that has none, and of failures
	firstRetry    = 2 * time.Second  // likewise, of a name that has no address yet
)

// Add has these names be known, and looks up those that are not until ctx ends.
func (n *Names) Add(ctx context.Context, names map[Name]time.Duration) {
	var lookups sync.WaitGroup
	n.mu.Lock()
	for name, interval := range names {
		if n.known[name] == nil {
			e := &entry{interval: interval, inFlight: true, ttl: noTTL}
			n.known[name] = e
			lookups.Go(func() { n.lookUp(ctx, name, e) })
		}
	}
	n.mu.Unlock()
	lookups.Wait()
}

// Run looks names up until ctx ends. None waits for another one's resolver.
func (n *Names) Run(ctx context.Context) {
	var lookups sync.WaitGroup
	defer lookups.Wait()
	var changed atomic.Bool
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
		if changed.Swap(false) {
			n.o.Changed()
		}
		due, next := n.due()
		for name, e := range due {
			lookups.Go(func() {
				if n.lookUp(ctx, name, e) {
					changed.Store(true)
				}
				n.wakeRun()
			})
		}
		timer.Reset(next)
	}
}

// due are the names that are to be looked up now, which counts them as in flight, and the time until the next one is.
func (n *Names) due() (due map[Name]*entry, next time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.o.Now()
	due, next = map[Name]*entry{}, time.Hour
	for name, e := range n.known {
		switch left := e.due.Sub(now); {
		case e.inFlight: // it wakes Run when it has ended
		case left > 0:
			next = min(next, left)
		default:
			e.inFlight = true
			due[name] = e
		}
	}
	return due, next
}

// lookUp looks one name up, and reports whether it has other addresses than before.
func (n *Names) lookUp(ctx context.Context, name Name, e *entry) (changed bool) {
	got, err := n.ask(ctx, name, e)
	if errors.Is(ctx.Err(), context.Canceled) {
		return false // nobody wants to know
	}
	changed, stateChanged := n.learn(name, e, got, err)
	if stateChanged {
		n.o.Failed(name, err)
	}
	return changed
}

var errForgotten = errors.New("resolve: the name was removed from the configuration")

// ask asks the name's resolver, when it has answered enough of the others.
func (n *Names) ask(ctx context.Context, name Name, e *entry) (Answer, error) {
	slots := n.slotsOf(name.Resolver)
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return Answer{TTL: noTTL}, ctx.Err()
	}
	if !n.isKnown(name, e) {
		return Answer{TTL: noTTL}, errForgotten
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	got, err := n.o.Lookup(ctx, name)
	if err == nil && len(got.Addresses) > maxAddresses {
		err = fmt.Errorf("it has %d addresses, and %d are the most that a name may have", len(got.Addresses), maxAddresses)
	}
	return got, err
}

// isKnown reports whether the name was not forgotten since it had this entry.
func (n *Names) isKnown(name Name, e *entry) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[name] == e
}

// slotsOf are those of a resolver, "" for the system's.
func (n *Names) slotsOf(resolver string) chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	slots := n.slots[resolver]
	if slots == nil {
		slots = make(chan struct{}, maxConcurrent)
		n.slots[resolver] = slots
	}
	return slots
}

// learn takes what a lookup brought, and reports whether the name has other addresses than before, and whether it cannot be looked
// up any more, or can again.
func (n *Names) learn(name Name, e *entry, got Answer, err error) (changed, stateChanged bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known[name] != e { // forgotten meanwhile
		return false, false
	}
	stateChanged = (e.err != nil) != (err != nil)
	e.err, e.ttl = err, got.TTL
	if err != nil {
		e.failures++
	} else if changed = !sameAddresses(e.addresses, got.Addresses); changed {
		e.addresses = got.Addresses
	}
	e.due, e.inFlight = n.o.Now().Add(e.wait()), false
	return changed, stateChanged
}

// wait is the time until the next lookup: the time to live of the last answer, within bounds. Names.mu is held.
func (e *entry) wait() time.Duration {
	wait := e.ttl
	switch {
	case wait >= 0:
	case len(e.addresses) == 0:
		wait = firstRetry
	default:
		wait = defaultTTL
	}
	return min(max(wait, minInterval), e.interval)
}

// maxAddresses is how many addresses a name may have: each costs memory and health checks, and who answers for the name chooses them.
const maxAddresses = 1000

// sameAddresses compares without regard to the order, which resolvers change.
func sameAddresses(a, b []netip.Addr) bool {
	return slices.Equal(slices.SortedFunc(slices.Values(a), netip.Addr.Compare), slices.SortedFunc(slices.Values(b), netip.Addr.Compare))
}

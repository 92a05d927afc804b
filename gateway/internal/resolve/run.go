package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// How names are looked up.
const (
	lookupTimeout = 5 * time.Second
	atOnce        = 8 // lookups at a time
	leastInterval = time.Second
	untoldTTL     = 10 * time.Second // of an answer that has none, and of failures
	firstRetry    = 2 * time.Second  // likewise, of a name that has no address yet
)

// Add has these names be known, and looks up those that are not until ctx ends.
func (n *Names) Add(ctx context.Context, names map[Name]time.Duration) {
	var unknown []Name
	n.mu.Lock()
	for name, interval := range names {
		if n.known[name] == nil {
			n.known[name] = &entry{interval: interval, due: n.o.Now(), ttl: untold}
			unknown = append(unknown, name)
		}
	}
	n.mu.Unlock()
	n.lookUp(ctx, unknown)
}

// Run looks names up until ctx ends.
func (n *Names) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
		due, next := n.due()
		if n.lookUp(ctx, due) && ctx.Err() == nil {
			n.o.Changed()
		}
		if len(due) > 0 {
			_, next = n.due()
		}
		timer.Reset(next)
	}
}

// due are the names that are to be looked up now, and the time until the next one is.
func (n *Names) due() (due []Name, next time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.o.Now()
	next = time.Hour
	for name, e := range n.known {
		if left := e.due.Sub(now); left > 0 {
			next = min(next, left)
		} else {
			due = append(due, name)
		}
	}
	if len(due) > 0 {
		next = 0
	}
	return due, next
}

// lookUp looks names up, and reports whether one has other addresses than before.
func (n *Names) lookUp(ctx context.Context, names []Name) bool {
	var all sync.WaitGroup
	slots, changed := make(chan struct{}, atOnce), make(chan bool, len(names))
	for _, name := range names {
		slots <- struct{}{}
		all.Go(func() {
			changed <- n.lookUpOne(ctx, name)
			<-slots
		})
	}
	all.Wait()
	close(changed)
	any := false
	for c := range changed {
		any = any || c
	}
	return any
}

func (n *Names) lookUpOne(ctx context.Context, name Name) (changed bool) {
	limited, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	got, err := n.o.Lookup(limited, name)
	if errors.Is(ctx.Err(), context.Canceled) {
		return false // nobody wants to know
	}
	if err == nil && len(got.Addresses) > maxAddresses {
		err = fmt.Errorf("it has %d addresses, and %d are the most that a name may have", len(got.Addresses), maxAddresses)
	}
	n.mu.Lock()
	e := n.known[name]
	if e == nil { // forgotten meanwhile
		n.mu.Unlock()
		return false
	}
	turned := (e.err != nil) != (err != nil)
	e.err, e.ttl = err, got.TTL
	if err != nil {
		e.failures++
	} else if changed = !sameAddresses(e.addresses, got.Addresses); changed {
		e.addresses = got.Addresses
	}
	e.due = n.o.Now().Add(e.wait())
	n.mu.Unlock()
	if turned {
		n.o.Failed(name, err)
	}
	return changed
}

// wait is the time until the next lookup: the time to live of the last answer, within bounds. Names.mu is held.
func (e *entry) wait() time.Duration {
	wait := e.ttl
	switch {
	case wait >= 0:
	case len(e.addresses) == 0:
		wait = firstRetry
	default:
		wait = untoldTTL
	}
	return min(max(wait, leastInterval), e.interval)
}

// maxAddresses is how many addresses a name may have: each costs memory and health checks, and who answers for the name chooses them.
const maxAddresses = 1000

// sameAddresses compares without regard to the order, which resolvers change.
func sameAddresses(a, b []netip.Addr) bool {
	return slices.Equal(slices.SortedFunc(slices.Values(a), netip.Addr.Compare), slices.SortedFunc(slices.Values(b), netip.Addr.Compare))
}

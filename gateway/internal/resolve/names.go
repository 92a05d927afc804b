package resolve

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Options are what Names are made of.
type Options struct {
	Lookup Lookup
	Now    func() time.Time
	// Changed is told that names have other addresses than before, by the goroutine of Run.
	Changed func()
	// Failed is told that a name cannot be looked up any more, with the error, or can again, without one. It must not block.
	Failed func(Name, error)
}

// Names are what is known of names. Safe for concurrent use.
type Names struct {
	o    Options
	wake chan struct{} // of one: there are new names, or a lookup has ended

	mu    sync.Mutex
	known map[Name]*entry          // guarded by mu
	slots map[string]chan struct{} // by resolver: each lookup takes one; guarded by mu
}

// entry is what is known of a name. It is guarded by Names.mu.
type entry struct {
	interval  time.Duration // the longest between two lookups
	due       time.Time     // when it is looked up next
	inFlight  bool          // it is being looked up
	addresses []netip.Addr  // that were found last; none before the first. Never written again
	ttl       time.Duration // that the last answer had; negative for none
	failures  uint64
	err       error // of the last lookup
}

// New knows no names.
func New(o Options) *Names {
	return &Names{o: o, wake: make(chan struct{}, 1), known: map[Name]*entry{}, slots: map[string]chan struct{}{}}
}

// Addresses are those that were found last; none where there were never any.
func (n *Names) Addresses(name Name) []netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if e := n.known[name]; e != nil {
		return e.addresses
	}
	return nil
}

// Retain forgets all other names, and has these looked up so often at least.
func (n *Names) Retain(needed map[Name]time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, e := range n.known {
		interval, ok := needed[name]
		if !ok {
			delete(n.known, name)
			continue
		}
		if e.interval != interval {
			e.interval, e.due = interval, n.o.Now()
		}
	}
	n.wakeRun()
}

// wakeRun has Run look what is due.
func (n *Names) wakeRun() {
	select {
	case n.wake <- struct{}{}:
	default: // it wakes in any case
	}
}

// Status is what is known of a name.
type Status struct {
	Name      string       `json:"name"`
	Resolver  string       `json:"resolver,omitempty"` // "" for the system's
	Addresses []netip.Addr `json:"addresses"`
	TTL       string       `json:"ttl,omitempty"` // of the last answer, as 30s; "" where it had none
	Failures  uint64       `json:"failures"`
	Error     string       `json:"error,omitempty"` // why it could not be looked up last
}

// Statuses are those of all names.
func (n *Names) Statuses() []Status {
	var all []Status
	n.mu.Lock()
	for name, e := range n.known {
		s := Status{Name: name.Host, Resolver: name.Resolver, Addresses: append([]netip.Addr{}, e.addresses...), Failures: e.failures}
		if e.ttl >= 0 {
			s.TTL = e.ttl.String()
		}
		if e.err != nil {
			s.Error = e.err.Error()
		}
		all = append(all, s)
	}
	n.mu.Unlock()
	slices.SortFunc(all, func(a, b Status) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Resolver, b.Resolver)) })
	return all
}

package admission

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Table is the gates of all upstreams, by their names. Safe for concurrent use.
type Table struct {
	now    func() time.Time
	notify func(upstream, breaker string)

	mu    sync.Mutex
	gates map[string]*Gate // guarded by mu
}

// NewTable makes a table without gates. notify is told when the breaker of an upstream is Open, or Closed again; it must not block.
func NewTable(now func() time.Time, notify func(upstream, breaker string)) *Table {
	return &Table{now: now, notify: notify, gates: map[string]*Gate{}}
}

// Gate is that of an upstream. One that is new has these limits; those of another stay as they are until Gate.Limit.
func (t *Table) Gate(name string, l Limits) *Gate {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.gates[name]
	if g == nil {
		g = &Gate{name: name, now: t.now, notify: t.notify, limits: l, breaker: breaker{Breaker: l.Breaker}, byClient: map[Client]int{}}
		t.gates[name] = g
	}
	return g
}

// Retain forgets the gates of other upstreams, once nothing is under way there: one that comes back meanwhile has its slots.
func (t *Table) Retain(needed func(name string) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, g := range t.gates {
		if !needed(name) && g.isIdle() {
			delete(t.gates, name)
		}
	}
}

// Statuses are those of all gates, by upstream.
func (t *Table) Statuses() []Status {
	var all []Status
	t.mu.Lock()
	for _, g := range t.gates {
		all = append(all, g.Status())
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Upstream, b.Upstream) })
	return all
}

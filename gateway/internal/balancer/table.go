package balancer

import (
	"cmp"
	"slices"
	"sync"
)

// Table keeps what is known of addresses, from one generation to the next. Safe for concurrent use.
type Table struct {
	o *Options

	mu        sync.Mutex
	upstreams map[string]*upstream // guarded by mu
}

// NewTable makes an empty table.
func NewTable(o Options) *Table { return &Table{o: &o, upstreams: map[string]*upstream{}} }

// Pool is the addresses of the upstream of that name, at least one, with what is known of them. One that an upstream has not had
// yet begins with slow start, where there is any; with an upstream, all of it begins.
func (t *Table) Pool(name string, members []Member, o PoolOptions) *Pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	u, now := t.upstreams[name], t.o.Now()
	begins := u == nil
	if begins {
		u = &upstream{known: map[string]*Address{}}
		u.budget.Store(fullBudget)
		t.upstreams[name] = u
	}
	p := &Pool{shared: u, PoolOptions: o}
	for _, m := range members {
		a := u.known[m.Name]
		if a == nil {
			a = &Address{upstream: name, name: m.Name, o: t.o, since: now}
			if !begins {
				a.began.Store(now.UnixNano())
			}
			u.known[m.Name] = a
		}
		a.weight.Store(int32(m.Weight))
		a.slowStart.Store(int64(o.SlowStart))
		a.maxConnections.Store(int32(o.Connections))
		if !slices.ContainsFunc(p.all, func(other member) bool { return other.Address == a }) {
			p.all = append(p.all, member{m, a, hashName(m.Name)})
		}
	}
	p.weighted = newWeighted(p.all, o.SlowStart > 0, t.o)
	return p
}

// Retain forgets all addresses that are in none of the pools.
func (t *Table) Retain(pools []*Pool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	needed, of := map[*Address]bool{}, map[*upstream]bool{}
	for _, p := range pools {
		of[p.shared] = true
		for _, m := range p.all {
			needed[m.Address] = true
		}
	}
	for name, u := range t.upstreams {
		if !of[u] {
			delete(t.upstreams, name)
		}
		for name, a := range u.known {
			if !needed[a] {
				delete(u.known, name)
			}
		}
	}
}

// Statuses are those of all addresses, by upstream and address.
func (t *Table) Statuses() []Status {
	var all []Status
	t.mu.Lock()
	for _, u := range t.upstreams {
		for _, a := range u.known {
			all = append(all, a.Status())
		}
	}
	t.mu.Unlock()
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Address, b.Address))
	})
	return all
}

// Retries are how many requests went to another address, by upstream.
func (t *Table) Retries() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]uint64, len(t.upstreams))
	for name, u := range t.upstreams {
		all[name] = u.retries.Load()
	}
	return all
}

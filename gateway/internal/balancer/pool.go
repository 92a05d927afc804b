package balancer

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The retry budget: a request adds a fifth of a retry, up to so many.
const (
	retryCost      = 5 // requests
	maxRetryBudget = 100
	fullBudget     = maxRetryBudget * retryCost
)

// Pool is the addresses of an upstream in one generation. Safe for concurrent use.
type Pool struct {
	PoolOptions
	weighted
	all    []member // at least one, each address once; the drained at the end
	shared *upstream
}

// PoolOptions say how an upstream's addresses are chosen from.
type PoolOptions struct {
	Consecutive5xx int           // in a row that eject; 0 for any number
	SlowStart      time.Duration // how long an address that comes back, or is new, takes until it has its whole share; 0 for none
	// Connections is how many requests, which have a connection each, and connections that are held an address has at most; 0 for
	// any number.
	Connections int
}

// upstream is what is known of all addresses together, in every generation.
type upstream struct {
	roundRobin atomic.Uint32
	budget     atomic.Int64 // in fifths of a retry
	retries    atomic.Uint64
	by5xx      sync.Mutex          // held by whoever ejects for 5xx
	known      map[string]*Address // guarded by Table.mu
}

// Attempt is one request at one address. Whoever has it calls Done once. Its zero value is none.
type Attempt struct {
	pool   *Pool
	member *member
	epoch  uint32
}

// Len is how many addresses there are that are not drained. A nil pool has none.
func (p *Pool) Len() int {
	if p == nil {
		return 0
	}
	return len(p.members)
}

// Pick chooses an address for a request that tried some in vain; false when it tried all, or those that it wants are full. It
// counts as in flight until [Attempt.Done].
func (p *Pool) Pick(tried []*Address) (Attempt, bool) {
	if p == nil {
		return Attempt{}, false
	}
	attempt, ok := p.pick(tried)
	if ok && len(tried) == 0 {
		p.deposit()
	}
	return attempt, ok
}

func (p *Pool) pick(tried []*Address) (Attempt, bool) {
	if len(p.members) == 1 {
		a := &p.members[0]
		if len(tried) > 0 || !a.use() {
			return Attempt{}, false
		}
		return p.attempt(a), true
	}
	for {
		a, r := p.choose(tried)
		switch {
		case a == nil:
			return Attempt{}, false
		case r == open && !a.proven.Load():
			if !a.inFlight.CompareAndSwap(0, 1) {
				continue // another request tries it
			}
		case !a.use():
			continue // others have filled it
		}
		return p.attempt(a), true
	}
}

func (p *Pool) attempt(a *member) Attempt { return Attempt{p, a, a.epoch.Load()} }

// Each calls f with how to ask each address.
func (p *Pool) Each(f func(to any)) {
	if p == nil {
		return
	}
	for i := range p.all {
		f(p.all[i].To)
	}
}

// Find is how to ask the address of that name; nil where there is none.
func (p *Pool) Find(name string) (to any) {
	if p == nil {
		return nil
	}
	for i := range p.all {
		if m := &p.all[i]; m.Member.Name == name {
			return m.To
		}
	}
	return nil
}

// rank orders addresses by how much a request wants them. Of each, there are those that are full, which are waited for before
// lower ones are taken.
type rank uint8

const (
	open      rank = 2 * iota // healthy
	onTrial                   // healthy as far as is known, and a request is finding out
	unhealthy                 // by checks
	ejected
	excluded // tried by this request

	full rank = 1 // is added
)

// rankAt ranks an address, now in ns.
func rankAt(now int64, a *Address, tried []*Address) rank {
	if len(tried) > 0 && slices.Contains(tried, a) {
		return excluded
	}
	r := healthAt(now, a)
	if a.isFull() {
		r |= full
	}
	return r
}

func healthAt(now int64, a *Address) rank {
	switch {
	case a.isEjected(now):
		return ejected
	case a.unhealthy.Load():
		return unhealthy
	case !a.proven.Load() && a.inFlight.Load() > 0:
		return onTrial
	}
	return open
}

// choose finds an address of the lowest rank; nil where all were tried, or are full.
func (p *Pool) choose(tried []*Address) (*member, rank) {
	i, j := p.pickTwo()
	a, b := &p.members[i], &p.members[j]
	if rankAt(0, a.Address, tried) == open && rankAt(0, b.Address, tried) == open {
		return p.lessLoaded(a, b), open
	}
	now := p.o.Now().UnixNano() // before, any ejection counted as one that lasts
	lowest, count, total := excluded, 0, 0
	for i := range p.members {
		m := &p.members[i]
		switch r := rankAt(now, m.Address, tried); {
		case r < lowest:
			lowest, count, total = r, 1, m.weightAt(now)
		case r == lowest:
			count++
			total += m.weightAt(now)
		}
	}
	switch {
	case lowest == excluded, lowest&full != 0:
		return nil, lowest
	case lowest >= unhealthy: // in turn
		if len(tried) == 0 {
			p.shared.roundRobin.Add(1)
		}
		return nth(now, p.members, int(p.shared.roundRobin.Load()%uint32(count)), lowest, tried), lowest
	case count == 1:
		return nth(now, p.members, 0, lowest, tried), lowest
	}
	if a = p.pickWeighted(now, p.o.Intn(total), lowest, tried, nil); a == nil {
		return nil, lowest // they were filled meanwhile
	}
	b = p.pickWeighted(now, p.o.Intn(max(total-a.weightAt(now), 1)), lowest, tried, a)
	return p.lessLoaded(a, b), lowest
}

// nth is the address of that rank with so many of its rank before it. Where ranks have changed meanwhile it is the last
// that could be.
func nth(now int64, members []member, n int, r rank, tried []*Address) *member {
	var last *member
	for i := range members {
		a := &members[i]
		switch other := rankAt(now, a.Address, tried); {
		case other == r && n == 0:
			return a
		case other == r:
			n--
			last = a
		case last == nil && other != excluded && other&full == 0:
			last = a
		}
	}
	return last
}

// pickWeighted is the address of that rank, another than not, before which those of its rank weigh at most so much, and with which
// they weigh more. Where ranks have changed meanwhile it is the last that could be; not, where there is none.
func (p *Pool) pickWeighted(now int64, before int, r rank, tried []*Address, not *member) *member {
	last := not
	for i := range p.members {
		m := &p.members[i]
		switch other := rankAt(now, m.Address, tried); {
		case m == not || other == excluded || other&full != 0:
		case other == r:
			last = m
			if before -= m.weightAt(now); before < 0 {
				return m
			}
		case last == not:
			last = m
		}
	}
	return last
}

// deposit has a request pay for the retries of others.
func (p *Pool) deposit() {
	if p.shared.budget.Load() < fullBudget {
		p.shared.budget.Add(1)
	}
}

// TakeRetry reports whether the budget has a retry left, and takes it.
func (p *Pool) TakeRetry() bool {
	if p.shared.budget.Add(-retryCost) < 0 {
		p.shared.budget.Add(retryCost)
		return false
	}
	return true
}

// CountRetry counts a request that went to another address.
func (p *Pool) CountRetry() { p.shared.retries.Add(1) }

// Address is where the request goes.
func (t Attempt) Address() *Address { return t.member.Address }

// To is how to ask there.
func (t Attempt) To() any { return t.member.To }

// Hold has the connection that the attempt is about be one client's from now on, until Release; false where half of those that the
// address may have are held, or its only one. It is in place of Done.
func (t Attempt) Hold() bool {
	defer t.Done()
	n, most := t.member.held.Add(1), t.member.maxConnections.Load()
	if most > 0 && n > max(most/2, 1) {
		t.member.held.Add(-1)
		return false
	}
	return true
}

// Release gives up what Hold has kept.
func (t Attempt) Release() { t.member.held.Add(-1) }

// Done ends the attempt, however it went.
func (t Attempt) Done() {
	if t.member != nil {
		t.member.inFlight.Add(-1)
	}
}

// Answered says that an answer of that status began.
func (t Attempt) Answered(status int) {
	a, most := t.member, t.pool.Consecutive5xx
	switch {
	case status < http.StatusInternalServerError || most == 0:
		a.succeeded(t.epoch)
	case a.epoch.Load() != t.epoch: // it began before the ejection
	case a.isEjectedBy5xx(): // on trial
		a.eject(t.epoch, describe5xx(1), true)
	case a.failed5xx(most):
		t.pool.eject5xx(t)
	case !a.proven.Load():
		a.succeeded(t.epoch)
		a.failed5xx(most)
	}
}

// Failed says that no connection came about, or that it was closed before an answer began.
func (t Attempt) Failed(reason string) { t.member.eject(t.epoch, reason, false) }

// eject5xx ejects an address for its answers, where less than half of the addresses are for theirs.
func (p *Pool) eject5xx(t Attempt) {
	p.shared.by5xx.Lock()
	defer p.shared.by5xx.Unlock()
	n := 1
	for i := range p.members {
		if p.members[i].isEjectedBy5xx() {
			n++
		}
	}
	if n*2 <= len(p.members) {
		t.member.eject(t.epoch, describe5xx(p.Consecutive5xx), true)
	}
}

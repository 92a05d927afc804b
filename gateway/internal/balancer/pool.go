package balancer

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// The retry budget: a request adds a fifth of a retry, up to so many.
const (
	retryCost  = 5 // requests
	mostRetry  = 100
	fullBudget = mostRetry * retryCost
)

// Pool is the addresses of an upstream in one generation. Safe for concurrent use.
type Pool struct {
	addresses []*Address // at least one, each once
	shared    *upstream
	most5xx   int // in a row that eject; 0 for any number
	o         *Options
}

// upstream is what is known of all addresses together, in every generation.
type upstream struct {
	turn    atomic.Uint32
	budget  atomic.Int64 // in fifths of a retry
	retries atomic.Uint64
	by5xx   sync.Mutex          // held by whoever ejects for 5xx
	known   map[string]*Address // guarded by Table.mu
}

// Attempt is one request at one address. Whoever has it calls Done once. Its zero value is none.
type Attempt struct {
	pool    *Pool
	address *Address
	epoch   uint32
}

// Len is how many addresses there are.
func (p *Pool) Len() int { return len(p.addresses) }

// Pick chooses an address for a request that tried some in vain; false when it tried all. It counts as in flight until
// [Attempt.Done].
func (p *Pool) Pick(tried []*Address) (Attempt, bool) {
	if len(tried) == 0 {
		p.deposit()
	}
	if len(p.addresses) == 1 {
		a := p.addresses[0]
		if len(tried) > 0 {
			return Attempt{}, false
		}
		a.inFlight.Add(1)
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
		default:
			a.inFlight.Add(1)
		}
		return p.attempt(a), true
	}
}

func (p *Pool) attempt(a *Address) Attempt { return Attempt{p, a, a.epoch.Load()} }

// rank orders addresses by how much a request wants them.
type rank uint8

const (
	open      rank = iota // healthy
	onTrial               // healthy as far as is known, and a request is finding out
	unhealthy             // by checks
	ejected
	excluded // tried by this request
)

// rankAt ranks an address, now in ns.
func rankAt(now int64, a *Address, tried []*Address) rank {
	switch {
	case len(tried) > 0 && slices.Contains(tried, a):
		return excluded
	case a.isEjected(now):
		return ejected
	case a.unhealthy.Load():
		return unhealthy
	case !a.proven.Load() && a.inFlight.Load() > 0:
		return onTrial
	}
	return open
}

// choose finds an address of the lowest rank; nil where all were tried.
func (p *Pool) choose(tried []*Address) (*Address, rank) {
	n := len(p.addresses)
	i, j := p.two(n)
	a, b := p.addresses[i], p.addresses[j]
	if rankAt(0, a, tried) == open && rankAt(0, b, tried) == open {
		return lessBusy(a, b), open
	}
	now := p.o.Now().UnixNano() // before, any ejection counted as one that lasts
	lowest, count := excluded, 0
	for _, a := range p.addresses {
		switch r := rankAt(now, a, tried); {
		case r < lowest:
			lowest, count = r, 1
		case r == lowest:
			count++
		}
	}
	switch {
	case lowest == excluded:
		return nil, excluded
	case lowest >= unhealthy: // in turn
		if len(tried) == 0 {
			p.shared.turn.Add(1)
		}
		return nth(now, p.addresses, int(p.shared.turn.Load()%uint32(count)), lowest, tried), lowest
	case count == 1:
		return nth(now, p.addresses, 0, lowest, tried), lowest
	}
	i, j = p.two(count)
	return lessBusy(nth(now, p.addresses, i, lowest, tried), nth(now, p.addresses, j, lowest, tried)), lowest
}

// two are two different numbers below n, which is at least 2.
func (p *Pool) two(n int) (i, j int) {
	i, j = p.o.Intn(n), p.o.Intn(n-1)
	if j >= i {
		j++
	}
	return i, j
}

// nth is the address of that rank with so many of its rank before it. Where ranks have changed meanwhile it is the last
// that could be.
func nth(now int64, addresses []*Address, n int, r rank, tried []*Address) *Address {
	var last *Address
	for _, a := range addresses {
		switch other := rankAt(now, a, tried); {
		case other == r && n == 0:
			return a
		case other == r:
			n--
			last = a
		case last == nil && other != excluded:
			last = a
		}
	}
	return last
}

func lessBusy(a, b *Address) *Address {
	if b.inFlight.Load() < a.inFlight.Load() {
		return b
	}
	return a
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
func (t Attempt) Address() *Address { return t.address }

// Done ends the attempt, however it went.
func (t Attempt) Done() {
	if t.address != nil {
		t.address.inFlight.Add(-1)
	}
}

// Answered says that an answer of that status began.
func (t Attempt) Answered(status int) {
	a, most := t.address, t.pool.most5xx
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
func (t Attempt) Failed(reason string) { t.address.eject(t.epoch, reason, false) }

// eject5xx ejects an address for its answers, where less than half of the addresses are for theirs.
func (p *Pool) eject5xx(t Attempt) {
	p.shared.by5xx.Lock()
	defer p.shared.by5xx.Unlock()
	n := 1
	for _, a := range p.addresses {
		if a.isEjectedBy5xx() {
			n++
		}
	}
	if n*2 <= len(p.addresses) {
		t.address.eject(t.epoch, describe5xx(p.most5xx), true)
	}
}

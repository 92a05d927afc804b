package balancer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// world is a table with a clock and chance of its own.
type world struct {
	*Table
	now     time.Time
	changes []Change
}

func newWorld(seed uint64) *world {
	w := &world{now: time.Unix(1_000_000, 0)}
	random := rand.New(rand.NewPCG(seed, 1))
	w.Table = NewTable(Options{
		Now: func() time.Time { return w.now }, Intn: random.IntN, Float: random.Float64,
		Notify: func(c Change) { w.changes = append(w.changes, c) },
	})
	return w
}

func hosts(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("10.0.0.%d:80", i)
	}
	return all
}

func members(names ...string) []Member {
	all := make([]Member, len(names))
	for i, name := range names {
		all[i].Name, all[i].Weight = name, 1
	}
	return all
}

// model is what is to be known of an address.
type model struct {
	until     time.Time // of the ejection; zero when it is not ejected
	earliest  time.Time // when it may end
	failures  int
	proven    bool
	inFlight  int
	failed    int // checks in a row
	passed    int
	unhealthy bool
}

// TestPicksAsTheModelSays: a random run of requests, checks, time and reloads. No ejected or unhealthy address is picked
// while another is in, each comes back when its time is over, and nothing stays in flight.
func TestPicksAsTheModelSays(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 2))
		w := newWorld(seed)
		n := 1 + random.IntN(6)
		names := hosts(n)
		p := w.Pool("app", members(names...), PoolOptions{Consecutive5xx: 0})
		models := map[string]*model{}
		for _, name := range names {
			models[name] = &model{}
		}
		out := func(m *model) bool { return !m.until.IsZero() && w.now.Before(m.until) }
		type flight struct {
			Attempt
			failures int // of the address when it began
		}
		var flights []flight
		for step := range 2000 {
			switch random.IntN(10) {
			case 0:
				w.now = w.now.Add(time.Duration(random.Int64N(int64(3 * time.Second))))
			case 1: // a reload
				random.Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
				p = w.Pool("app", members(names...), PoolOptions{Consecutive5xx: 0})
				w.Retain([]*Pool{p})
			case 2: // a check
				name := names[random.IntN(n)]
				m, reason := models[name], ""
				if m.passed++; random.IntN(2) == 0 {
					reason, m.passed = "status 500", 0
				}
				if m.failed++; reason == "" {
					m.failed = 0
				}
				if m.unhealthy && m.passed >= 2 || !m.unhealthy && m.failed >= 3 {
					m.unhealthy, m.passed, m.failed = !m.unhealthy, 0, 0
				}
				w.upstreams["app"].known[name].checked(reason, 2, 3)
			case 3, 4, 5: // the end of a request
				if len(flights) == 0 {
					continue
				}
				i := random.IntN(len(flights))
				f := flights[i]
				flights = append(flights[:i], flights[i+1:]...)
				m := models[f.Address().Name()]
				counts := f.failures == int(f.Address().ejections.Load())
				switch random.IntN(3) {
				case 0:
					f.Failed("dial: refused")
					if counts {
						takes := min(baseEjectionTime<<min(m.failures, 10), maxEjectionTime)
						m.failures++
						m.earliest, m.proven = w.now.Add(takes*4/5), false
						m.until = time.Unix(0, f.Address().until.Load())
						if m.until.Before(m.earliest) || m.until.After(w.now.Add(takes)) {
							t.Fatalf("seed %d, step %d: ejected for %s, want about %s", seed, step, m.until.Sub(w.now), takes)
						}
					}
				case 1:
					f.Answered(200)
					if counts {
						m.until, m.failures, m.proven = time.Time{}, 0, true
					}
				}
				f.Done()
				m.inFlight--
			default:
				var tried []*Address
				for range random.IntN(n + 1) {
					if a := p.members[random.IntN(n)].Address; len(tried) < n {
						tried = append(tried, a)
					}
				}
				if n == 1 {
					tried = nil
				}
				a, ok := p.Pick(tried)
				best := 9
				was := func(name string) int {
					m := models[name]
					for _, t := range tried {
						if t.Name() == name {
							return 9
						}
					}
					switch {
					case out(m):
						return 3
					case m.unhealthy:
						return 2
					case !m.proven && m.inFlight > 0:
						return 1
					}
					return 0
				}
				for _, name := range names {
					best = min(best, was(name))
				}
				if ok != (best < 9) {
					t.Fatalf("seed %d, step %d: picked: %v, of the rank %d", seed, step, ok, best)
				}
				if !ok {
					continue
				}
				name := a.Address().Name()
				if got := was(name); got != best {
					t.Fatalf("seed %d, step %d: %s of the rank %d was picked, where there is one of %d", seed, step, name, got, best)
				}
				models[name].inFlight++
				flights = append(flights, flight{a, int(a.Address().ejections.Load())})
			}
		}
		for _, f := range flights {
			f.Done()
			models[f.Address().Name()].inFlight--
		}
		for _, s := range w.Statuses() {
			if m := models[s.Address]; s.InFlight != 0 || m.inFlight != 0 {
				t.Errorf("seed %d: %d in flight at %s after the last request", seed, s.InFlight, s.Address)
			} else if want := map[bool]string{true: Unhealthy, false: map[bool]string{true: Healthy, false: Ejected}[m.until.IsZero()]}[m.unhealthy]; s.State != want {
				t.Errorf("seed %d: %s is %s, want %s", seed, s.Address, s.State, want)
			}
		}
	}
}

func pick(t *testing.T, p *Pool, tried ...*Address) Attempt {
	t.Helper()
	a, ok := p.Pick(tried)
	if !ok {
		t.Fatal("no address")
	}
	return a
}

func TestTheLessBusyOfTwoIsPicked(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	p := w.Pool("app", members(hosts(2)...), PoolOptions{Consecutive5xx: 0})
	for range 2 {
		a := pick(t, p)
		a.Answered(200)
		defer a.Done()
	}
	for range 10 {
		a, b := pick(t, p), pick(t, p)
		if a.Address() == b.Address() {
			t.Fatalf("both requests went to %s", a.Address().Name())
		}
		defer a.Done()
		defer b.Done()
	}
}

// TestWhereNoneAcceptsEachIsTriedInTurn, and one request goes to each of them before it fails.
func TestWhereNoneAcceptsEachIsTriedInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	p := w.Pool("app", members(hosts(4)...), PoolOptions{Consecutive5xx: 0})
	first := map[*Address]int{}
	for range 40 {
		var tried []*Address
		for {
			a, ok := p.Pick(tried)
			if !ok {
				break
			}
			if len(tried) == 0 {
				first[a.Address()]++
			}
			a.Failed("dial: refused")
			a.Done()
			tried = append(tried, a.Address())
		}
		if len(tried) != 4 {
			t.Fatalf("%d addresses were tried, want 4", len(tried))
		}
	}
	for a, n := range first {
		if n < 9 || n > 11 {
			t.Errorf("%s was the first of %d requests in 40", a.Name(), n)
		}
	}
	if len(w.changes) != 4 {
		t.Errorf("changes: %v, want one for each address", w.changes)
	}
}

// TestHalfOfTheAddressesStayWhateverTheyAnswer: 5xx eject no more.
func TestHalfOfTheAddressesStayWhateverTheyAnswer(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]int{1: 0, 2: 1, 3: 1, 4: 2, 5: 2} {
		w := newWorld(uint64(n))
		p := w.Pool("app", members(hosts(n)...), PoolOptions{Consecutive5xx: 5})
		for range 1000 {
			a := pick(t, p)
			a.Answered(503)
			a.Done()
			w.now = w.now.Add(10 * time.Millisecond)
		}
		got := 0
		for _, s := range w.Statuses() {
			if s.State == Ejected {
				got++
			}
		}
		if got != want {
			t.Errorf("%d of %d addresses are ejected, want %d", got, n, want)
		}
	}
}

func TestFive5xxInARowEject(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	p := w.Pool("app", members(hosts(2)...), PoolOptions{Consecutive5xx: 5})
	a := &p.members[0]
	answer := func(status int) { p.attempt(a).Answered(status) }
	for range 3 {
		for _, status := range []int{500, 502, 503, 504, 404} {
			answer(status)
		}
	}
	if s := a.Status(); s.State != Healthy {
		t.Fatalf("four in a row: %v", s)
	}
	for range 5 {
		answer(500)
	}
	if s := a.Status(); s.State != Ejected || s.Reason != "5 answers of 5xx in a row" {
		t.Fatalf("five in a row: %v", s)
	}
	answer(500) // on trial
	if s := a.Status(); s.Ejections != 2 {
		t.Errorf("on trial: %v", s)
	}
	answer(200)
	if s := a.Status(); s.State != Healthy {
		t.Errorf("after a success: %v", s)
	}
}

// TestTheRetryBudget is a fifth of the requests, after the first hundred.
func TestTheRetryBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	p := w.Pool("app", members(hosts(2)...), PoolOptions{Consecutive5xx: 0})
	took := 0
	for range 10_000 {
		pick(t, p).Done()
		for range 3 {
			if p.TakeRetry() {
				took++
			}
		}
	}
	if took < 2000 || took > 2000+maxRetryBudget {
		t.Errorf("%d retries of 10000 requests", took)
	}
}

// TestAReloadKeepsWhatIsKnown of addresses that stay, and forgets the others.
func TestAReloadKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	before := w.Pool("app", members("a:1", "b:1"), PoolOptions{Consecutive5xx: 0})
	before.attempt(&before.members[0]).Failed("dial: refused")
	under := before.attempt(&before.members[1])
	under.member.inFlight.Add(1)
	after := w.Pool("app", members("a:1", "c:1"), PoolOptions{Consecutive5xx: 0})
	w.Retain([]*Pool{after})
	for range 10 {
		if a := pick(t, after); a.Address().Name() != "c:1" {
			t.Fatalf("the request went to %s", a.Address().Name())
		}
	}
	under.Answered(200)
	under.Done()
	w.Retain([]*Pool{w.Pool("app", members("b:1"), PoolOptions{Consecutive5xx: 0})})
	if all := w.Statuses(); len(all) != 1 || all[0].Address != "b:1" || all[0].InFlight != 0 {
		t.Errorf("got %v", all)
	}
}

func TestPickingAllocatesNothing(t *testing.T) {
	for _, n := range []int{1, 2, 10} {
		p := newWorld(1).Pool("app", members(hosts(n)...), PoolOptions{Consecutive5xx: 5})
		if got := testing.AllocsPerRun(100, func() {
			a, _ := p.Pick(nil)
			a.Answered(200)
			a.Done()
		}); got != 0 {
			t.Errorf("%v allocations for one of %d addresses", got, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, c := range []struct{ addresses, dead int }{{1, 0}, {2, 0}, {10, 0}, {10, 5}, {1000, 0}} {
		b.Run(fmt.Sprintf("addresses=%d,ejected=%d", c.addresses, c.dead), func(b *testing.B) {
			t := NewTable(Options{Now: time.Now, Intn: rand.IntN, Float: rand.Float64, Notify: func(Change) {}})
			p := t.Pool("app", members(hosts(c.addresses)...), PoolOptions{Consecutive5xx: 5})
			for i := range p.members {
				a := &p.members[i]
				if a.proven.Store(true); i < c.dead {
					for range 10 {
						p.attempt(a).Failed("dial: refused")
					}
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				a, _ := p.Pick(nil)
				a.Answered(200)
				a.Done()
			}
		})
	}
}

package balancer

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// shares are how many of so many requests go to each address, of which so many are in flight at once, and end in any order.
func (w *world) shares(t *testing.T, p *Pool, requests, atOnce int) map[string]int {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	got := map[string]int{}
	var flights []Attempt
	for range requests {
		if len(flights) == atOnce {
			i := random.IntN(atOnce)
			flights[i].Answered(200)
			flights[i].Done()
			flights[i] = flights[atOnce-1]
			flights = flights[:atOnce-1]
		}
		a := pick(t, p)
		got[a.Address().Name()]++
		flights = append(flights, a)
	}
	for _, f := range flights {
		f.Done()
	}
	return got
}

// proven has all addresses succeed.
func (p *Pool) proven() {
	for i := range p.members {
		p.attempt(&p.members[i]).Answered(200)
	}
}

func membersOf(weights ...int) []Member {
	all := members(hosts(len(weights))...)
	for i, weight := range weights {
		all[i].Weight = weight
	}
	return all
}

// TestRequestsGoByWeight, however many are in flight, also while an address is ejected; none goes to one that is drained.
func TestRequestsGoByWeight(t *testing.T) {
	t.Parallel()
	for _, weights := range [][]int{{1, 3}, {3, 1}, {1, 1, 2}, {5, 0, 5}, {100, 99}, {1, 10, 0}, {10, 10}, {0, 4}} {
		for _, atOnce := range []int{1, 3, 20, 100} {
			w := newWorld(uint64(atOnce))
			p := w.Pool("app", membersOf(weights...), PoolOptions{})
			p.proven()
			got := w.shares(t, p, 20_000, atOnce)
			total := 0
			for _, weight := range weights {
				total += weight
			}
			for i, weight := range weights {
				share, want := float64(got[hosts(len(weights))[i]])/20_000, float64(weight)/float64(total)
				near := 0.15
				if atOnce == 3 { // where one request is a third of all
					near = 0.4
				}
				if share < want*(1-near)-0.01 || share > want*(1+near)+0.01 || weight == 0 && share != 0 {
					t.Errorf("%v, %d at once: %.3f of the requests went to %d, want %.3f", weights, atOnce, share, i, want)
				}
			}
		}
	}
	w := newWorld(1)
	p := w.Pool("app", membersOf(1, 3, 9, 0), PoolOptions{})
	p.proven()
	p.attempt(&p.members[2]).Failed("dial: refused")
	got := w.shares(t, p, 10_000, 1)
	if three := got["10.0.0.1:80"]; three < 7000 || three > 8000 || got["10.0.0.2:80"]+got["10.0.0.3:80"] > 0 {
		t.Errorf("one ejected: %v", got)
	}
}

// TestADrainedAddressHasNoRequests, even where no other can be used.
func TestADrainedAddressHasNoRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	p := w.Pool("app", membersOf(1, 1), PoolOptions{})
	under := p.attempt(&p.members[0])
	under.member.inFlight.Add(1)
	p = w.Pool("app", membersOf(0, 1), PoolOptions{})
	w.Retain([]*Pool{p})
	for range 3 {
		a := pick(t, p)
		if a.Address().Name() != "10.0.0.1:80" {
			t.Fatalf("a request went to %s", a.Address().Name())
		}
		if _, ok := p.Pick([]*Address{a.Address()}); ok {
			t.Fatal("a request that failed went to a drained address")
		}
		a.Failed("dial: refused")
		a.Done()
	}
	if s := w.Statuses()[0]; s.InFlight != 1 || s.Weight != 0 || p.Find("10.0.0.0:80") != nil && len(p.all) != 2 {
		t.Errorf("what is known of it: %+v", s)
	}
}

// TestSlowStart: an address that comes back, or that a reload adds, has a tenth of its share at first, and grows into it; with the
// process, all of it begins.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"ejected", "unhealthy", "added"} {
		w := newWorld(3)
		o := PoolOptions{SlowStart: 30 * time.Second}
		p := w.Pool("app", membersOf(1, 1), o)
		p.proven()
		if got := w.shares(t, p, 10_000, 1); got["10.0.0.0:80"] < 4700 || got["10.0.0.0:80"] > 5300 {
			t.Errorf("at the start: %v", got)
		}
		slow := "10.0.0.1:80"
		switch how {
		case "ejected":
			p.attempt(&p.members[1]).Failed("dial: refused")
			w.now = w.now.Add(time.Minute)
			p.proven()
		case "unhealthy":
			p.members[1].checked("status 500", 1, 1)
			p.members[1].checked("", 1, 1)
		case "added":
			slow = "10.0.0.2:80"
			w.Retain([]*Pool{w.Pool("app", membersOf(1, 0, 0), o)})
			p = w.Pool("app", membersOf(1, 0, 1), o)
			p.proven()
		}
		for _, c := range []struct {
			after time.Duration
			share float64
		}{{0, 0.1 / 1.1}, {15 * time.Second, 0.5 / 1.5}, {15 * time.Second, 0.5}, {time.Hour, 0.5}} {
			w.now = w.now.Add(c.after)
			got := w.shares(t, p, 10_000, 1)
			if share := float64(got[slow]) / 10_000; share < c.share-0.03 || share > c.share+0.03 {
				t.Errorf("%s, %s later: %.3f of the requests, want %.3f", how, c.after, share, c.share)
			}
			for _, s := range w.Statuses() {
				if s.Address == slow && (s.Share > 0) != (c.share < 0.5) {
					t.Errorf("%s, %s later: %+v", how, c.after, s)
				}
			}
		}
	}
}

func BenchmarkPickWeighted(b *testing.B) {
	for _, n := range []int{2, 10, 1000} {
		b.Run(fmt.Sprintf("addresses=%d", n), func(b *testing.B) {
			t := NewTable(Options{Now: time.Now, Intn: rand.IntN, Float: rand.Float64, Notify: func(Change) {}})
			all := members(hosts(n)...)
			for i := range all {
				all[i].Weight = 1 + i%3
			}
			p := t.Pool("app", all, PoolOptions{})
			p.proven()
			b.ReportAllocs()
			for b.Loop() {
				a, _ := p.Pick(nil)
				a.Answered(200)
				a.Done()
			}
		})
	}
}

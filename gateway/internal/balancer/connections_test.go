package balancer

import (
	"sync"
	"testing"
)

// TestFullAddressesAreWaitedFor: an address has as many requests as it may have connections, those that are held included, and none
// goes to one that is ejected because the others are full.
func TestFullAddressesAreWaitedFor(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5} {
		w := newWorld(uint64(n))
		p := w.Pool("app", members(hosts(n)...), PoolOptions{Connections: 2})
		var all []Attempt
		for range 2 * n {
			a, ok := p.Pick(nil)
			if !ok {
				t.Fatalf("%d addresses: after %d requests there is none", n, len(all))
			}
			a.Answered(200)
			all = append(all, a)
		}
		if _, ok := p.Pick(nil); ok {
			t.Errorf("%d addresses: one request too many", n)
		}
		if !all[0].Hold() || n == 1 && all[1].Hold() {
			t.Errorf("%d addresses: of two connections not one can be held", n)
		}
		if n == 1 {
			all[1], _ = p.Pick(nil)
		}
		if _, ok := p.Pick(nil); ok {
			t.Errorf("%d addresses: beside what is held, one request too many", n)
		}
		all[0].Release()
		if a, ok := p.Pick(nil); !ok || a.Address() != all[0].Address() {
			t.Errorf("%d addresses: %v, want the one with room", n, a)
		} else {
			all[0] = a
		}
		if n == 1 {
			continue
		}
		ejected := all[0].Address()
		for _, a := range all {
			if a.Address() == ejected {
				a.Done()
			}
		}
		all[0].Failed("refused")
		if a, ok := p.Pick(nil); ok {
			t.Errorf("%d addresses: %s is taken, and is ejected", n, a.Address().Name())
		}
		w.Pool("app", members(hosts(n)...), PoolOptions{Connections: 3})
		if a, ok := p.Pick(nil); !ok || a.Address() == ejected {
			t.Errorf("%d addresses: with another limit, %v", n, ok)
		}
	}
}

// TestManyAtOnceFillNoAddressTooFar.
func TestManyAtOnceFillNoAddressTooFar(t *testing.T) {
	t.Parallel()
	p := newLockedWorld().Pool("app", members(hosts(3)...), PoolOptions{Connections: 4})
	for i := range p.all {
		p.all[i].proven.Store(true)
	}
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 2000 {
				a, ok := p.Pick(nil)
				for i := range p.all {
					if n := p.all[i].inFlight.Load(); n > 4+8 { // as many as count themselves for a moment
						t.Errorf("%d requests at an address", n)
					}
				}
				if ok {
					a.Done()
				}
			}
		})
	}
	clients.Wait()
	for range 12 {
		if _, ok := p.Pick(nil); !ok {
			t.Fatal("a place was lost")
		}
	}
	if _, ok := p.Pick(nil); ok {
		t.Error("one too many")
	}
}

func newLockedWorld() *world {
	w := newWorld(1)
	var mu sync.Mutex
	draw := w.o.Intn
	w.o.Intn = func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return draw(n)
	}
	return w
}

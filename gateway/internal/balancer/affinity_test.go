package balancer

import (
	"maps"
	"testing"
	"time"
)

// placed is which address each of so many keys has.
func placed(t *testing.T, p *Pool, keys int) map[uint64]string {
	t.Helper()
	all := map[uint64]string{}
	for i := range keys {
		key := mix(uint64(i) + 1)
		a, ok := p.PickFor(key, nil)
		if !ok {
			t.Fatalf("key %d has no address", i)
		}
		a.Answered(200)
		a.Done()
		all[key] = a.Address().Name()
	}
	return all
}

// moved counts the keys whose address is another, and those of them that another address than from had, or than to has ("" for any).
func moved(before, after map[uint64]string, from, to string) (count, wrong int) {
	for key, was := range before {
		if is := after[key]; is != was {
			count++
			if from != "" && was != from || to != "" && is != to {
				wrong++
			}
		}
	}
	return count, wrong
}

func TestAKeyKeepsItsAddress(t *testing.T) {
	t.Parallel()
	const keys = 20_000
	w, other := newWorld(1), newWorld(2)
	four := members(hosts(4)...)
	p := w.Pool("u", four, PoolOptions{})
	first := placed(t, p, keys)
	if again := placed(t, p, keys); !maps.Equal(first, again) {
		t.Error("keys have other addresses the second time")
	}
	if elsewhere := placed(t, other.Pool("u", members(hosts(4)...), PoolOptions{}), keys); !maps.Equal(first, elsewhere) {
		t.Error("another gateway gives keys other addresses")
	}
	count := map[string]int{}
	for _, name := range first {
		count[name]++
	}
	for name, n := range count {
		if n < keys/4*9/10 || n > keys/4*11/10 {
			t.Errorf("%s has %d of %d keys", name, n, keys)
		}
	}

	five := w.Pool("u", members(hosts(5)...), PoolOptions{})
	added := placed(t, five, keys)
	if n, wrong := moved(first, added, "", hosts(5)[4]); wrong != 0 || n < keys/5*9/10 || n > keys/5*11/10 {
		t.Errorf("with a fifth address %d keys moved, %d of them elsewhere", n, wrong)
	}

	gone := four[0].Name
	at, _ := p.PickFor(firstKeyOf(first, gone), nil)
	at.Failed("dial: refused")
	at.Done()
	without := placed(t, p, keys)
	if n, wrong := moved(first, without, gone, ""); wrong != 0 || n != count[gone] {
		t.Errorf("without an address %d keys moved, %d of them from others; it had %d", n, wrong, count[gone])
	}
	w.now = w.now.Add(2 * time.Second)
	if back := placed(t, p, keys); !maps.Equal(first, back) {
		t.Error("keys are not where they were when the address is back")
	}
}

func firstKeyOf(all map[uint64]string, name string) uint64 {
	for key, of := range all {
		if of == name {
			return key
		}
	}
	panic("no key has " + name)
}

func TestKeysGoByWeights(t *testing.T) {
	t.Parallel()
	const keys = 30_000
	all := members("a", "b", "c")
	all[0].Weight, all[1].Weight, all[2].Weight = 2, 1, 0
	count := map[string]int{}
	for _, name := range placed(t, newWorld(1).Pool("u", all, PoolOptions{}), keys) {
		count[name]++
	}
	if count["c"] != 0 || count["a"] < 19_000 || count["a"] > 21_000 {
		t.Errorf("by 2:1:0, keys are %v", count)
	}
}

// TestKeysWhileEveryAddressIsTried: where each address is back from an ejection, and a request is finding out about it that takes its
// time, others do not wait for that: each goes to the address that its key has.
func TestKeysWhileEveryAddressIsTried(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	p := w.Pool("u", members(hosts(2)...), PoolOptions{})
	first := placed(t, p, 100)
	keys := []uint64{firstKeyOf(first, hosts(2)[0]), firstKeyOf(first, hosts(2)[1])}
	for _, key := range keys {
		at, _ := p.PickFor(key, nil)
		at.Failed("dial: refused")
		at.Done()
	}
	w.now = w.now.Add(2 * time.Second)
	for _, key := range keys {
		if at, ok := p.PickFor(key, nil); !ok || at.Address().Name() != first[key] {
			t.Fatalf("the first request is not at %s", first[key])
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for key, name := range first {
			if at, ok := p.PickFor(key, nil); !ok || at.Address().Name() != name {
				t.Errorf("a request beside it is not at %s", name)
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		t.Fatal("PickFor does not return")
	}
}

// A key's first requests at the same time have one address, one that it tried goes to another, and a full one is waited for.
func TestKeysOfManyRequests(t *testing.T) {
	t.Parallel()
	p := newWorld(1).Pool("u", members(hosts(3)...), PoolOptions{Connections: 2})
	const key = 77
	first, _ := p.PickFor(key, nil)
	second, _ := p.PickFor(key, nil)
	if first.Address() != second.Address() {
		t.Error("two requests at once have two addresses")
	}
	if third, ok := p.PickFor(key, nil); ok {
		t.Errorf("a third request has %s, and is not to wait", third.Address().Name())
	}
	next, ok := p.PickFor(key, []*Address{first.Address()})
	if !ok || next.Address() == first.Address() {
		t.Error("what was tried in vain is not tried elsewhere")
	}
	first.Done()
	if again, ok := p.PickFor(key, nil); !ok || again.Address() != second.Address() {
		t.Error("a free place is not taken")
	}
}

// Where no address is healthy each is tried in turn, whatever the key.
func TestKeysWithoutAHealthyAddress(t *testing.T) {
	t.Parallel()
	p := newWorld(1).Pool("u", members(hosts(3)...), PoolOptions{})
	tried := map[string]bool{}
	for range 6 {
		a, ok := p.PickFor(5, nil)
		if !ok {
			t.Fatal("there is no address")
		}
		tried[a.Address().Name()] = true
		a.Failed("dial: refused")
		a.Done()
	}
	if len(tried) != 3 {
		t.Errorf("%d addresses were tried of 3", len(tried))
	}
}

func BenchmarkPickFor(b *testing.B) {
	p := newWorld(1).Pool("u", members(hosts(10)...), PoolOptions{})
	b.ReportAllocs()
	for i := range b.N {
		a, _ := p.PickFor(uint64(i), nil)
		a.Answered(200)
		a.Done()
	}
}

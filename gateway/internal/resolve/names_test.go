package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func addresses(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// world answers lookups, and counts what is told.
type world struct {
	*Names
	mu      sync.Mutex
	answers map[string][]netip.Addr // by host; none is an error; guarded by mu
	asked   map[string]int          // guarded by mu
	told    []string                // guarded by mu
	changes int                     // guarded by mu
}

func newWorld() *world {
	w := &world{answers: map[string][]netip.Addr{}, asked: map[string]int{}}
	w.Names = New(Options{Now: time.Now, Lookup: w.lookup, Changed: func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changes++
	}, Failed: func(n Name, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, fmt.Sprint(n, " ", err))
	}})
	return w
}

func (w *world) lookup(ctx context.Context, n Name) ([]netip.Addr, error) {
	w.mu.Lock()
	w.asked[n.Host]++
	found := w.answers[n.Host]
	w.mu.Unlock()
	if n.Host == "hangs" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if found == nil {
		return nil, errors.New("no such host")
	}
	return found, nil
}

func (w *world) answer(host string, all []netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[host] = all
}

func (w *world) counted(host string) (asked, changes, told int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[host], w.changes, len(w.told)
}

// TestNamesAreLookedUpAgain, each in its interval; what changes is told once, an order is no change, and while nothing is found the
// last addresses stay, which is told once.
func TestNamesAreLookedUpAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		app := Name{Host: "app"}
		w.answer("app", addresses("10.0.0.1", "10.0.0.2"))
		wanted := map[Name]time.Duration{app: 10 * time.Second, {Host: "late"}: 10 * time.Second}
		w.Add(t.Context(), wanted)
		w.Retain(wanted)
		if got := fmt.Sprint(w.Addresses(app)); got != "[10.0.0.1 10.0.0.2]" {
			t.Fatal(got)
		}
		var run sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		run.Go(func() { w.Run(ctx) })
		after := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		w.answer("app", addresses("10.0.0.2", "10.0.0.1"))
		after(10 * time.Second)
		if asked, changes, _ := w.counted("app"); asked != 2 || changes != 0 {
			t.Errorf("another order: %d, %d", asked, changes)
		}
		w.answer("app", addresses("10.0.0.2", "10.0.0.3"))
		after(10 * time.Second)
		if got := fmt.Sprint(w.Addresses(app)); got != "[10.0.0.2 10.0.0.3]" {
			t.Error(got)
		}
		w.answer("app", nil)
		after(30 * time.Second)
		if got := fmt.Sprint(w.Addresses(app)); got != "[10.0.0.2 10.0.0.3]" {
			t.Error(got)
		}
		if _, changes, told := w.counted("app"); changes != 1 || told != 2 { // late is the other one
			t.Errorf("%d changes, told %v", changes, w.told)
		}
		w.answer("app", addresses("10.0.0.2", "10.0.0.3"))
		after(10 * time.Second)
		if _, changes, told := w.counted("app"); changes != 1 || told != 3 {
			t.Errorf("%d changes, told %v", changes, w.told)
		}
		if asked, _, _ := w.counted("late"); asked < 25 {
			t.Errorf("what has no address yet was asked for %d times", asked)
		}
		w.answer("late", addresses("::1"))
		after(2 * time.Second)
		if got := fmt.Sprint(w.Addresses(Name{Host: "late"})); got != "[::1]" {
			t.Error(got)
		}
		delete(wanted, app)
		w.Retain(wanted)
		before, _, _ := w.counted("app")
		after(time.Minute)
		if asked, _, _ := w.counted("app"); asked != before || w.Addresses(app) != nil {
			t.Error("a name that nobody needs is looked up")
		}
		stop()
		run.Wait()
	})
}

// TestAResolverThatHangs holds up the first addresses no longer than it may, and others a little.
func TestAResolverThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.answer("app", addresses("10.0.0.1"))
		wanted := map[Name]time.Duration{{Host: "app"}: time.Second, {Host: "hangs"}: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		began := time.Now()
		w.Add(ctx, wanted)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s", took)
		}
		w.Retain(wanted)
		run, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.Run(run); close(ended) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if asked, _, _ := w.counted("app"); asked < 10 {
			t.Errorf("beside one that hangs it was looked up %d times in a minute", asked)
		}
		stop()
		<-ended
	})
}

// TestTooManyAddressesAreAFailure: the last ones stay.
func TestTooManyAddressesAreAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.answer("app", addresses("10.0.0.1"))
		name := Name{Host: "app"}
		w.Add(t.Context(), map[Name]time.Duration{name: time.Second})
		many := make([]netip.Addr, maxAddresses+1)
		for i := range many {
			many[i] = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		}
		w.answer("app", many)
		w.lookUp(t.Context(), []Name{name})
		if got := w.Addresses(name); len(got) != 1 || w.Statuses()[0].Failures != 1 {
			t.Errorf("%d addresses, %+v", len(got), w.Statuses())
		}
		w.answer("app", many[:maxAddresses])
		w.lookUp(t.Context(), []Name{name})
		if got := w.Addresses(name); len(got) != maxAddresses {
			t.Errorf("%d addresses", len(got))
		}
	})
}

// TestHosts: one of each family is one host, and nothing else is.
func TestHosts(t *testing.T) {
	t.Parallel()
	for want, all := range map[string][]netip.Addr{
		"[]": nil, "[[10.0.0.1]]": addresses("10.0.0.1"), "[[::1 127.0.0.1]]": addresses("::1", "127.0.0.1"),
		"[[10.0.0.1] [10.0.0.2]]": addresses("10.0.0.1", "10.0.0.2"), "[[fd00::1] [10.0.0.1] [10.0.0.2]]": addresses("fd00::1", "10.0.0.1", "10.0.0.2"),
	} {
		if got := fmt.Sprint(Hosts(all)); got != want {
			t.Errorf("%v: %s, want %s", all, got, want)
		}
	}
}

// TestLocalhostIsAsked of the system.
func TestLocalhostIsAsked(t *testing.T) {
	t.Parallel()
	found, err := Ask(t.Context(), Name{Host: "localhost"})
	if err != nil || len(found) == 0 || len(Hosts(found)) != 1 || !found[0].IsLoopback() {
		t.Errorf("%v, %v", found, err)
	}
}

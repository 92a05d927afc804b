package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
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
	mu       sync.Mutex
	answers  map[string][]netip.Addr // by host; none is an error; guarded by mu
	ttl      time.Duration           // of them and of errors; guarded by mu
	asked    map[Name]int            // guarded by mu
	inFlight map[string]int          // lookups, by resolver; guarded by mu
	most     map[string]int          // of them; guarded by mu
	told     []string                // guarded by mu
	changes  int                     // guarded by mu
}

func newWorld() *world {
	w := &world{answers: map[string][]netip.Addr{}, asked: map[Name]int{}, inFlight: map[string]int{}, most: map[string]int{}, ttl: noTTL}
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

func (w *world) lookup(ctx context.Context, n Name) (Answer, error) {
	w.mu.Lock()
	w.asked[n]++
	w.inFlight[n.Resolver]++
	w.most[n.Resolver] = max(w.most[n.Resolver], w.inFlight[n.Resolver])
	found := Answer{w.answers[n.Host], w.ttl}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.inFlight[n.Resolver]--
	}()
	switch {
	case strings.HasPrefix(n.Host, "hangs"):
		<-ctx.Done()
		return Answer{TTL: noTTL}, ctx.Err()
	case n.Host == "slow":
		time.Sleep(3 * time.Second)
	}
	if found.Addresses == nil {
		return found, errors.New("no such host")
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
	return w.asked[Name{Host: host}], w.changes, len(w.told)
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

// TestTheTimeToLiveSaysWhen a name is looked up again, between a second and its interval, whether it was found or not.
func TestTheTimeToLiveSaysWhen(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		ttl, interval time.Duration
		found         bool
		want          time.Duration
	}{
		{3 * time.Second, time.Minute, true, 3 * time.Second},
		{3 * time.Second, 2 * time.Second, true, 2 * time.Second},
		{time.Minute, time.Hour, true, time.Minute},
		{0, time.Minute, true, time.Second},
		{recordTTL(1<<31 - 1), time.Hour, true, time.Hour},
		{recordTTL(1 << 31), time.Hour, true, time.Second},
		{noTTL, time.Hour, true, 10 * time.Second},
		{noTTL, 3 * time.Second, true, 3 * time.Second},
		{30 * time.Second, time.Minute, false, 30 * time.Second},
		{0, time.Minute, false, time.Second},
		{time.Hour, 10 * time.Second, false, 10 * time.Second},
		{noTTL, time.Hour, false, 2 * time.Second},
		{noTTL, time.Second, false, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld()
			w.ttl = one.ttl
			if one.found {
				w.answer("app", addresses("10.0.0.1"))
			}
			w.Add(t.Context(), map[Name]time.Duration{{Host: "app"}: one.interval})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { w.Run(ctx); close(ended) }()
			time.Sleep(one.want - time.Millisecond)
			synctest.Wait()
			before, _, _ := w.counted("app")
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if after, _, _ := w.counted("app"); before != 1 || after != 2 {
				t.Errorf("%+v: %d lookups before, then %d", one, before, after)
			}
			stop()
			<-ended
		})
	}
}

// TestAResolverThatHangs holds up the first addresses no longer than it may, and names that another one is asked for not at all.
func TestAResolverThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.answer("app", addresses("10.0.0.1"))
		app, sameResolver := Name{Host: "app"}, Name{Host: "app", Resolver: "192.0.2.1:53"}
		wanted := map[Name]time.Duration{app: time.Second, {Host: "hangs"}: time.Second, sameResolver: time.Second}
		for port := range 2 * maxConcurrent {
			wanted[Name{Host: "hangs", Resolver: fmt.Sprintf("192.0.2.2:%d", port)}] = time.Second
			wanted[Name{Host: fmt.Sprintf("hangs.%d", port), Resolver: "192.0.2.1:53"}] = time.Second
		}
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
		stop()
		<-ended
		w.mu.Lock()
		defer w.mu.Unlock()
		if asked := w.asked[app]; asked < 60 {
			t.Errorf("beside resolvers that hang it was looked up %d times in a minute, once a second was asked for", asked)
		}
		if w.asked[sameResolver] < 2 || w.most["192.0.2.1:53"] != maxConcurrent {
			t.Errorf("%d lookups at a resolver that answers one name, %d at a time", w.asked[sameResolver], w.most["192.0.2.1:53"])
		}
	})
}

// TestNamesThatAreForgottenMeanwhile: nobody waits for their turns at a resolver, and what was asked before is not learned where a name is
// needed again.
func TestNamesThatAreForgottenMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.Run(ctx); close(ended) }()
		need := func(names ...string) {
			needed := map[Name]time.Duration{}
			for _, name := range names {
				needed[Name{Host: name}] = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			w.Add(ctx, needed)
			w.Retain(needed)
		}
		hanging := make([]string, 20*maxConcurrent)
		for i := range hanging {
			hanging[i] = fmt.Sprint("hangs.", i)
		}
		w.answer("app", addresses("10.0.0.1"))
		need(hanging...)
		time.Sleep(lookupTimeout)
		need("app")
		time.Sleep(lookupTimeout)
		if asked, _, _ := w.counted("app"); asked == 0 {
			t.Error("a name waits behind others that nobody needs")
		}
		w.answer("slow", addresses("10.0.0.2"))
		need("slow")
		time.Sleep(2 * time.Second) // the second lookup is under way
		need()
		w.answer("slow", addresses("10.0.0.3"))
		go need("slow")
		time.Sleep(2500 * time.Millisecond)
		if got := w.Addresses(Name{Host: "slow"}); fmt.Sprint(got) == "[10.0.0.2]" {
			t.Error("a name has what was asked before it was forgotten")
		}
		stop()
		<-ended
		time.Sleep(lookupTimeout)
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
		w.lookUp(t.Context(), name, w.known[name])
		if got := w.Addresses(name); len(got) != 1 || w.Statuses()[0].Failures != 1 {
			t.Errorf("%d addresses, %+v", len(got), w.Statuses())
		}
		w.answer("app", many[:maxAddresses])
		w.lookUp(t.Context(), name, w.known[name])
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
	if err != nil || len(found.Addresses) == 0 || len(Hosts(found.Addresses)) != 1 || !found.Addresses[0].IsLoopback() || found.TTL != noTTL {
		t.Errorf("%v, %v", found, err)
	}
}

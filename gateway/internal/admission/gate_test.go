package admission

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func person(n int) Client { return Client{Issuer: "us", Subject: fmt.Sprint(n)} }

// takes is a Taker.
type takes func() bool

func (t takes) Take() bool { return t() }

var always = takes(func() bool { return true })

// newGate is a gate with these limits.
func newGate(l Limits) *Gate { return NewTable(time.Now, func(string, string) {}).Gate("app", l) }

// waiting begins to enter a gate, and returns when that waits. The outcome comes by what it returns.
func waiting(ctx context.Context, g *Gate, who Client) <-chan error {
	done := make(chan error, 1)
	go func() { done <- g.Enter(ctx, who, always) }()
	synctest.Wait()
	return done
}

func reasonOf(err error) string {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return fmt.Sprint(err)
}

// TestEachClientHasItsTurn: of one client's the oldest is first, and a client that has one waits no longer for those with many.
func TestEachClientHasItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Limits{Requests: 1, Queue: 10, Timeout: time.Second})
		if err := g.Enter(t.Context(), person(0), always); err != nil {
			t.Fatal(err)
		}
		var order []string
		var mu sync.Mutex
		var all sync.WaitGroup
		for _, who := range []int{1, 1, 1, 2, 3, 2} {
			n := len(order)
			order = append(order, "")
			all.Go(func() {
				if err := g.Enter(t.Context(), person(who), always); err != nil {
					t.Errorf("%d: %v", who, err)
					return
				}
				mu.Lock()
				order = append(order, fmt.Sprintf("%d.%d", who, n))
				mu.Unlock()
				g.Leave(person(who))
			})
			synctest.Wait()
		}
		g.Leave(person(0))
		all.Wait()
		if got := fmt.Sprint(order[6:]); got != "[1.0 2.3 3.4 1.1 2.5 1.2]" {
			t.Errorf("the order is %s", got)
		}
	})
}

// TestTheLongestLineMakesRoom: one client fills the queue, and is no reason for another to be refused.
func TestTheLongestLineMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Limits{Requests: 2, Queue: 4, Timeout: time.Second})
		if err := g.Enter(t.Context(), person(1), always); err != nil {
			t.Fatal(err)
		}
		var many []<-chan error
		for range 4 { // half of the slots is one
			many = append(many, waiting(t.Context(), g, person(1)))
		}
		if err := g.Enter(t.Context(), person(1), always); reasonOf(err) != QueueFull {
			t.Errorf("one too many: %v", err)
		}
		if err := g.Enter(t.Context(), person(2), always); err != nil {
			t.Errorf("another client, with a slot free: %v", err)
		}
		other := waiting(t.Context(), g, person(2))
		if err := <-many[3]; reasonOf(err) != QueueFull {
			t.Errorf("the newest of the longest line: %v", err)
		}
		g.Leave(person(2))
		if err := <-other; err != nil {
			t.Errorf("another client: %v", err)
		}
		for _, done := range many[:3] {
			if err := <-done; reasonOf(err) != TimedOut {
				t.Errorf("behind what hangs: %v", err)
			}
		}
		if got := g.Status(); got.InFlight != 2 || got.Queued != 0 || got.RefusedFull != 2 || got.RefusedTimeout != 3 {
			t.Errorf("%+v", got)
		}
	})
}

// TestWhoHasGoneLeavesTheQueue, and takes no slot with it.
func TestWhoHasGoneLeavesTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Limits{Requests: 1, Queue: 1, Timeout: time.Minute})
		if err := g.Enter(t.Context(), person(1), always); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := waiting(ctx, g, person(2))
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		next := waiting(t.Context(), g, person(3))
		g.Leave(person(1))
		if err := <-next; err != nil {
			t.Error(err)
		}
	})
}

// TestOtherLimits are in force at once: more slots are handed out, and fewer are waited for.
func TestOtherLimits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		table := NewTable(time.Now, func(string, string) {})
		g := table.Gate("app", Limits{Requests: 1, Queue: 10, Timeout: time.Minute})
		if err := g.Enter(t.Context(), person(0), always); err != nil {
			t.Fatal(err)
		}
		first, second := waiting(t.Context(), g, person(1)), waiting(t.Context(), g, person(2))
		table.Retain(func(string) bool { return false })
		if table.Gate("app", Limits{}) != g {
			t.Error("a gate at which something is under way is forgotten")
		}
		g.Limit(Limits{Requests: 2, Queue: 10, Timeout: time.Minute})
		if err := <-first; err != nil {
			t.Error(err)
		}
		g.Limit(Limits{Requests: 1, Queue: 10, Timeout: time.Minute})
		g.Leave(person(0))
		synctest.Wait()
		if len(second) != 0 {
			t.Error("more are under way than may")
		}
		g.Leave(person(1))
		if err := <-second; err != nil {
			t.Error(err)
		}
		g.Leave(person(2))
		table.Retain(func(string) bool { return false })
		if len(table.Statuses()) != 0 {
			t.Error("a gate that nobody needs is kept")
		}
	})
}

// TestTwiceTheLoadKeepsTheGoodput: what a backend answers in time is as much as it can, though twice as much is asked for, by people
// who go after a second and a half; and little of what is answered has waited for nothing.
func TestTwiceTheLoadKeepsTheGoodput(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slots, service, clientTimeout, length = 10, 100 * time.Millisecond, 1500 * time.Millisecond, 30 * time.Second
		peak := int(length/service) * slots
		g := newGate(Limits{Requests: slots, Queue: 100, Timeout: time.Second})
		random := rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex
		good, atOnce := map[int]int{}, 0
		var all sync.WaitGroup
		for range 2 * peak {
			time.Sleep(time.Duration(random.ExpFloat64() * float64(length) / float64(2*peak)))
			who := random.IntN(8)
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), clientTimeout)
				defer cancel()
				began := time.Now()
				if err := g.Enter(ctx, person(who), always); err != nil {
					mu.Lock()
					if time.Since(began) == 0 {
						atOnce++
					}
					mu.Unlock()
					return
				}
				time.Sleep(service)
				g.Leave(person(who))
				if ctx.Err() == nil {
					mu.Lock()
					good[who]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		sum, least := 0, peak
		for who := range 8 {
			sum += good[who]
			least = min(least, good[who])
		}
		if sum < peak*9/10 || least < sum/8*8/10 || atOnce < peak/2 {
			t.Errorf("of %d that it can answer, %d were answered in time (%v); %d were refused at once; %+v", peak, sum, good, atOnce, g.Status())
		}
	})
}

// TestNobodyWaitsInVainForASlowBackend: who would wait for longer than the queue's timeout is told at once; when it is fast again,
// that is known again.
func TestNobodyWaitsInVainForASlowBackend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(Limits{Requests: 2, Queue: 100, Timeout: 2 * time.Second})
		for n := range 2 {
			if err := g.Enter(t.Context(), person(n), always); err != nil {
				t.Fatal(err)
			}
		}
		var served []<-chan error
		for n := range 2 {
			served = append(served, waiting(t.Context(), g, person(10+n)))
		}
		for n := range 2 {
			time.Sleep(900 * time.Millisecond)
			g.Leave(person(n))
			if err := <-served[n]; err != nil {
				t.Fatal(err)
			}
		}
		for n := range 2 {
			waiting(t.Context(), g, person(20+n))
		}
		began := time.Now()
		if err := g.Enter(t.Context(), person(30), always); reasonOf(err) != TimedOut || time.Since(began) != 0 {
			t.Errorf("a third: %v, after %s", err, time.Since(began))
		}
		for n := range 2 {
			g.Leave(person(10 + n))
		}
		synctest.Wait()
		for n := range 40 { // quick ones
			done := waiting(t.Context(), g, person(40+n))
			g.Leave(g.someone())
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		for n := range 5 {
			done := waiting(t.Context(), g, person(100+n))
			if len(done) != 0 {
				t.Errorf("after quick ones: %v", <-done)
			}
		}
		for g.Status().InFlight > 0 {
			g.Leave(g.someone())
			synctest.Wait()
		}
	})
}

// someone is a client with a request under way.
func (g *Gate) someone() Client {
	g.mu.Lock()
	defer g.mu.Unlock()
	for who := range g.byClient {
		return who
	}
	return Client{}
}

// TestRandomRequestsKeepTheLimits: never are more under way than may be, of all and of one client, what was taken is given back, and
// nobody waits while there is a slot for it.
func TestRandomRequestsKeepTheLimits(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 3))
			limits := Limits{Requests: 1 + random.IntN(6), Queue: random.IntN(10), Timeout: time.Second}
			g := newGate(limits)
			connections := 1 + random.IntN(6) // that requests need besides
			used := 0                         // guarded by g.mu
			take := takes(func() bool {
				if used == connections {
					return false
				}
				used++
				return true
			})
			var all sync.WaitGroup
			for range 400 {
				who, takes, goes := person(random.IntN(4)), time.Duration(random.IntN(300))*time.Millisecond, time.Duration(1+random.IntN(2000))*time.Millisecond
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), goes)
					defer cancel()
					if g.Enter(ctx, who, take) != nil {
						return
					}
					time.Sleep(takes)
					g.mu.Lock()
					used--
					g.mu.Unlock()
					g.Leave(who)
				})
				if random.IntN(3) == 0 {
					time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
				}
				synctest.Wait()
				g.mu.Lock()
				if g.inFlight > limits.Requests || used != g.inFlight || g.queue.count > limits.Queue {
					t.Errorf("seed %d: %d under way with %d connections, %d wait; %+v", seed, g.inFlight, used, g.queue.count, limits)
				}
				for who, n := range g.byClient {
					if n > limits.share() {
						t.Errorf("seed %d: %v has %d of %d", seed, who, n, limits.Requests)
					}
				}
				free := func(l *clientQueue) bool { return used < connections && g.isFree(l.client) }
				if slices.ContainsFunc(g.queue.clients, free) {
					t.Errorf("seed %d: somebody waits while there is a slot", seed)
				}
				g.mu.Unlock()
			}
			all.Wait()
			if g.inFlight+g.queue.count+used+len(g.byClient)+len(g.queue.clients) != 0 {
				t.Errorf("seed %d: at the end %+v, %d", seed, g.Status(), used)
			}
		})
	}
}

// TestBoundsOfAllClients together, and of one.
func TestBoundsOfAllClients(t *testing.T) {
	t.Parallel()
	c := NewClients(3, 2)
	for n, want := range []error{nil, nil, ErrClient} {
		if err := c.Enter(person(1)); err != want {
			t.Errorf("%d: %v, want %v", n, err, want)
		}
	}
	if err := c.Enter(person(2)); err != nil {
		t.Error(err)
	}
	if err := c.Enter(person(3)); err != ErrAll {
		t.Error(err)
	}
	c.Leave(person(1))
	if err := c.Enter(person(3)); err != nil {
		t.Error(err)
	}
	if got := c.Status(); got != (ClientsStatus{InFlight: 3, Max: 3, PerClient: 2, RefusedClient: 1, RefusedAll: 1}) {
		t.Errorf("%+v", got)
	}
}

// TestABreaker opens after so many failures in a row, has whoever waits go, and one request at a time try; a success closes it.
func TestABreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []string
		limits := Limits{Requests: 2, Queue: 10, Timeout: time.Minute, Breaker: Breaker{Failures: 3, Open: 10 * time.Second}}
		g := NewTable(time.Now, func(_, state string) { told = append(told, state) }).Gate("app", limits)
		for n := range 2 {
			if err := g.Enter(t.Context(), person(n), always); err != nil {
				t.Fatal(err)
			}
		}
		waits := waiting(t.Context(), g, person(2))
		g.Failed()
		g.Failed()
		g.Succeeded()
		g.Failed()
		g.Failed()
		if got := g.Status(); got.Breaker != Closed || got.Queued != 1 {
			t.Errorf("before the third in a row: %+v", got)
		}
		g.Failed()
		g.Failed() // of one that began before
		if err := <-waits; reasonOf(err) != BreakerOpen {
			t.Errorf("who waits: %v", err)
		}
		g.Leave(person(0))
		g.Leave(person(1))
		time.Sleep(4 * time.Second)
		var refused *RefusedError
		if err := g.Enter(t.Context(), person(1), always); !errors.As(err, &refused) || refused.Reason != BreakerOpen || refused.Wait != 6*time.Second {
			t.Errorf("while it is open: %v", err)
		}
		for range 2 { // the first one's end is never told
			time.Sleep(10 * time.Second)
			if got := g.Status(); got.Breaker != HalfOpen {
				t.Errorf("after its time: %+v", got)
			}
			if err := g.Enter(t.Context(), person(1), always); err != nil {
				t.Errorf("one tries: %v", err)
			}
			if err := g.Enter(t.Context(), person(2), always); reasonOf(err) != BreakerOpen {
				t.Errorf("beside one that tries: %v", err)
			}
			g.Leave(person(1))
		}
		g.Failed()
		if err := g.Enter(t.Context(), person(2), always); reasonOf(err) != BreakerOpen {
			t.Errorf("after it failed: %v", err)
		}
		g.Succeeded()
		if err := g.Enter(t.Context(), person(2), always); err != nil {
			t.Errorf("after one succeeded: %v", err)
		}
		if got := g.Status(); got.Breaker != Closed || got.Opened != 1 || got.RefusedBreaker != 5 || fmt.Sprint(told) != "[open closed]" {
			t.Errorf("%+v, told %v", got, told)
		}
		limits.Breaker = Breaker{}
		g.Limit(limits)
		for range 10 {
			g.Failed()
		}
		if got := g.Status(); got.Breaker != Closed {
			t.Errorf("without a breaker: %+v", got)
		}
	})
}

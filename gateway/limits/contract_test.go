package limits

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// limiter is what the contract is about: one limiter, or a fleet of them that are in sync.
type limiter interface {
	Take(k Key, r Rate) Result
	Key(scope Scope, issuer, subject string) Key
}

// roundRobin is a fleet: each event comes to the next gateway, after the one before has been synced.
type roundRobin struct {
	t        *testing.T
	gateways []*Limiter
	next     int
}

func (f *roundRobin) Key(scope Scope, issuer, subject string) Key {
	return f.gateways[0].Key(scope, issuer, subject)
}

func (f *roundRobin) Take(k Key, r Rate) Result {
	g := f.gateways[f.next%len(f.gateways)]
	f.next++
	// The backlog of the fleet comes with the next push; here the gateway pulls it beforehand.
	if err := g.pull(context.Background(), k, r); err != nil {
		f.t.Fatal(err)
	}
	result := g.Take(k, r)
	if err := g.sync(context.Background()); err != nil {
		f.t.Fatal(err)
	}
	return result
}

// pull merges the backlog of a key in the fleet.
func (l *Limiter) pull(ctx context.Context, k Key, r Rate) error {
	debts := []Usage{{Key: k, Burst: r.Burst()}}
	if err := l.fleet.shared.Add(ctx, debts); err != nil {
		return err
	}
	s, _ := l.table.lookup(k)
	s.mu.Lock()
	p, _ := s.find(k, l.elapsed())
	p.burst = int64(r.Burst())
	s.mu.Unlock()
	l.merge(debts[0])
	return nil
}

// stores are all kinds of them. Redis forgets keys by its own time, whatever the clock says: that of a rate here is long enough not to pass.
func stores() map[string]func(*testing.T, *clock) limiter {
	fleetOf := func(open func(*testing.T) redis.UniversalClient) func(*testing.T, *clock) limiter {
		return func(t *testing.T, c *clock) limiter {
			f, client := &roundRobin{t: t}, open(t)
			for range 2 {
				shared := redisWithTimeout(client)
				shared.now = c.now
				f.gateways = append(f.gateways, newLimiter(t, Options{Shared: shared, Secret: secret, Now: c.now}))
			}
			return f
		}
	}
	return map[string]func(*testing.T, *clock) limiter{
		"alone":                      func(t *testing.T, c *clock) limiter { return newLimiter(t, Options{Now: c.now}) },
		"two gateways and Redis":     fleetOf(func(t *testing.T) redis.UniversalClient { return redistest.New(t).Client() }),
		"two gateways and a Cluster": fleetOf(func(t *testing.T) redis.UniversalClient { return newCluster(t) }),
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	for store, open := range stores() {
		for name, promise := range map[string]func(*testing.T, limiter, *clock){
			"the whole quota at once, then a steady pace": burstThenPace,
			"keys do not mix":                      keysApart,
			"a refused request costs nothing":      refusedIsFree,
			"Remaining, RetryAfter and Reset hold": resultsHold,
			"as a bucket of tokens":                asTokenBucket,
		} {
			t.Run(store+"/"+name, func(t *testing.T) {
				t.Parallel()
				c := newClock()
				promise(t, open(t, c), c)
			})
		}
	}
}

var route = NewScope("billing-api.example.test", "/invoices/:id/refund", "user")

func burstThenPace(t *testing.T, l limiter, c *clock) {
	k, r := l.Key(route, "vilogate", "u-1"), Rate{Events: 10, Per: time.Hour}
	for i := range 10 {
		if got := l.Take(k, r); !got.OK || got.Remaining != 9-i {
			t.Fatalf("request %d: %+v", i, got)
		}
	}
	got := l.Take(k, r)
	if got.OK || got.RetryAfter != 6*time.Minute || got.Remaining != 0 {
		t.Fatalf("the eleventh: %+v", got)
	}
	c.advance(6 * time.Minute)
	if got := l.Take(k, r); !got.OK {
		t.Fatalf("six minutes later: %+v", got)
	}
	if got := l.Take(k, r); got.OK {
		t.Fatalf("and one more: %+v", got)
	}
	c.advance(24 * time.Hour)
	for i := range 11 {
		if got := l.Take(k, r); got.OK != (i < 10) {
			t.Fatalf("a day later, request %d: %+v", i, got)
		}
	}
}

func keysApart(t *testing.T, l limiter, _ *clock) {
	r := Rate{Events: 1, Per: time.Hour}
	keys := []Key{
		l.Key(route, "vilogate", "u-1"), l.Key(route, "vilogate", "u-2"), l.Key(route, "partner", "u-1"),
		l.Key(route, "vilogateu-1", ""), l.Key(route, "", "vilogateu-1"), l.Key(route, "", ""),
		l.Key(NewScope("billing-api.example.test", "/invoices/:id/refund", "ip"), "vilogate", "u-1"),
		l.Key(NewScope("billing-api.example.test/invoices/:id/refund", "user"), "vilogate", "u-1"),
		l.Key(route, "vilogate", fmt.Sprintf("%0200d", 1)), l.Key(route, "vilogate", fmt.Sprintf("%0200d", 2)),
	}
	for i, k := range keys {
		if got := l.Take(k, r); !got.OK {
			t.Errorf("key %d is refused for another's request: %+v", i, got)
		}
		if got := l.Take(k, r); got.OK {
			t.Errorf("key %d passes twice", i)
		}
	}
}

func refusedIsFree(t *testing.T, l limiter, c *clock) {
	k, r := l.Key(route, "", "192.0.2.7"), Rate{Events: 2, Per: time.Hour}
	for range 40 {
		l.Take(k, r)
	}
	c.advance(30 * time.Minute)
	if got := l.Take(k, r); !got.OK {
		t.Errorf("who kept asking waits longer: %+v", got)
	}
}

// resultsHold: Remaining pass at once and no more; after Retry one passes, and not a moment before; after Reset one more
// remains.
func resultsHold(t *testing.T, l limiter, c *clock) {
	k, r := l.Key(route, "", "192.0.2.7"), Rate{Events: 7, Per: time.Hour}
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		c.advance(time.Duration(random.Int64N(int64(20 * time.Minute))))
		got := l.Take(k, r)
		if got.OK {
			for range got.Remaining {
				if got = l.Take(k, r); !got.OK {
					t.Fatalf("what was said to remain does not pass: %+v", got)
				}
			}
			if got = l.Take(k, r); got.OK {
				t.Fatalf("more passes than was said to remain: %+v", got)
			}
		}
		c.advance(got.RetryAfter - 10*time.Microsecond)
		if early := l.Take(k, r); early.OK {
			t.Fatalf("one passes earlier than said: %+v after %+v", early, got)
		}
		c.advance(20 * time.Microsecond)
		if late := l.Take(k, r); !late.OK {
			t.Fatalf("none passes when it was said: %+v after %+v", late, got)
		}
	}
}

// asTokenBucket compares random requests with the slow and obvious way: a token bucket, counted in exact shares.
func asTokenBucket(t *testing.T, l limiter, c *clock) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := range 6 {
		r := Rate{Events: 1 + random.IntN(12), Per: time.Duration(1+random.IntN(120)) * time.Hour}
		k := l.Key(route, "user", fmt.Sprint(n))
		tokens, last := float64(r.Events), c.now()
		for i := range 120 {
			c.advance(time.Duration(random.Int64N(int64(2 * r.EmissionInterval()))))
			tokens = min(float64(r.Events), tokens+float64(c.now().Sub(last))/float64(r.EmissionInterval()))
			last = c.now()
			got, near := l.Take(k, r), tokens > 1-1e-3 && tokens < 1+1e-3
			if got.OK != (tokens >= 1) && !near {
				t.Fatalf("%v, request %d: %v tokens, %+v", r, i, tokens, got)
			}
			if got.OK {
				tokens--
			}
		}
	}
}

func TestManyAtOnceGetNoMoreThanTheQuota(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(t, Options{Now: c.now})
	k, r := l.Key(route, "", "192.0.2.7"), Rate{Events: 100, Per: time.Minute}
	var passed [8]int
	var all sync.WaitGroup
	for i := range passed {
		all.Go(func() {
			for range 1000 {
				if l.Take(k, r).OK {
					passed[i]++
				}
			}
		})
	}
	all.Wait()
	sum := 0
	for _, n := range passed {
		sum += n
	}
	if sum != 100 {
		t.Errorf("%d of 8,000 requests passed, want 100", sum)
	}
}

// TestAClockThatGoesBackLocksNobodyOut for longer than the clock was wrong.
func TestAClockThatGoesBackLocksNobodyOut(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(t, Options{Now: c.now})
	k, r := l.Key(route, "", "192.0.2.7"), Rate{Events: 2, Per: time.Minute}
	l.Take(k, r)
	c.advance(-time.Hour)
	got := l.Take(k, r)
	c.advance(time.Hour + time.Minute)
	if again := l.Take(k, r); !again.OK {
		t.Errorf("after %+v: %+v", got, again)
	}
}

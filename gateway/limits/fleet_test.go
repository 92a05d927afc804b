package limits

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// unreachable is a store that is away.
type unreachable struct{}

func (unreachable) Add(context.Context, []Usage) error { return errors.New("away") }

// running is a gateway of a fleet whose Run has an end.
func running(t *testing.T, s *redistest.Server) *Limiter {
	t.Helper()
	l := newLimiter(t, Options{Shared: NewRedis(s.Client()), Secret: secret})
	ctx, stop := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); run.Wait() })
	return l
}

// TestFleetSyncsInTheBackground: what one gateway let through, another knows after its first own event, by itself.
func TestFleetSyncsInTheBackground(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	one, two := running(t, s), running(t, s)
	k, r := one.Key(route, "vilogate", "u-1"), Rate{Events: 10, Per: time.Hour}
	if k != two.Key(route, "vilogate", "u-1") {
		t.Fatal("two gateways have two keys for one user")
	}
	for range 10 {
		one.Take(k, r)
	}
	eventually(t, "the fleet is told", func() bool { return !one.Stats().LastSync.IsZero() })
	if got := two.Take(k, r); !got.OK {
		t.Fatalf("the first decision waits for somebody: %+v", got)
	}
	eventually(t, "the other gateway knows", func() bool { return backlogOf(two, k) > 65*time.Minute })
	if got := two.Take(k, r); got.OK || got.RetryAfter < 11*time.Minute {
		t.Errorf("the event that was too much is not owed: %+v", got)
	}
}

// backlogOf is the backlog of a key, as a gateway knows it.
func backlogOf(l *Limiter, k Key) time.Duration {
	s, _ := l.table.lookup(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.elapsed()
	for i := range s.slots {
		if s.slots[i].key == k {
			return s.slots[i].backlog(now)
		}
	}
	return 0
}

// stuck is a store that says nothing until it is given up.
type stuck struct{ asked chan struct{} }

func (s stuck) Add(ctx context.Context, _ []Usage) error {
	close(s.asked)
	<-ctx.Done()
	return ctx.Err()
}

// TestNobodyWaitsForTheFleet: decisions are made while the store is asked, and take no time.
func TestNobodyWaitsForTheFleet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := stuck{make(chan struct{})}
		l := newLimiter(t, Options{Shared: store, Secret: secret})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		k, r := l.Key(route, "vilogate", "u-1"), Rate{Events: 5, Per: time.Hour}
		l.Take(k, r)
		<-store.asked
		began := time.Now()
		for i := range 5 {
			if got := l.Take(k, r); got.OK != (i < 4) {
				t.Errorf("request %d: %+v", i, got)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("requests waited for the store: %v", took)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestOutage: while Redis is dead, or takes connections and says nothing, each gateway limits what it sees; when Redis is
// back, what is still owed is told.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]struct{ begin, end func(*redistest.Server) }{
		"killed":     {(*redistest.Server).Kill, (*redistest.Server).Start},
		"blackholed": {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.New(t)
			one, two := running(t, s), running(t, s)
			r := Rate{Events: 5, Per: time.Hour}
			before := one.Key(route, "vilogate", "before")
			one.Take(before, r)
			eventually(t, "the fleet is told", func() bool { return !one.Stats().LastSync.IsZero() })
			outage.begin(s)
			during := one.Key(route, "vilogate", "during")
			for i := range 6 {
				if got := one.Take(during, r); got.OK != (i < 5) {
					t.Errorf("request %d: %+v", i, got)
				}
			}
			eventually(t, "the outage is noticed", func() bool { return one.Stats().Failures > 0 })
			outage.end(s)
			eventually(t, "the other gateway learns of it", func() bool {
				two.Take(during, Rate{Events: 1000, Per: 1000 * time.Second})
				return backlogOf(two, during) > 50*time.Minute
			})
			if got := one.Take(before, r); !got.OK || got.Remaining != 3 {
				t.Errorf("what was known is not what is known: %+v", got)
			}
		})
	}
}

// TestWhatStandsInRedisTellsNoNamesAndExpires.
func TestWhatStandsInRedisTellsNoNamesAndExpires(t *testing.T) {
	t.Parallel()
	client := redistest.New(t).Client()
	l := newLimiter(t, Options{Shared: redisWithTimeout(client), Secret: secret})
	l.Take(l.Key(route, "vilogate", "alice-the-subject"), Rate{Events: 10, Per: time.Hour})
	if err := l.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 1 || !strings.HasPrefix(keys[0], keyPrefix) || strings.Contains(keys[0], "alice") {
		t.Fatalf("%q, %v", keys, err)
	}
	if left := client.PTTL(t.Context(), keys[0]).Val(); left <= 0 || left > 6*time.Minute {
		t.Errorf("it expires in %v", left)
	}
}

// TestWhateverElseStandsInRedisCountsForNothing: nobody is refused for ever, and the exchange goes on.
func TestWhateverElseStandsInRedisCountsForNothing(t *testing.T) {
	t.Parallel()
	client := redistest.New(t).Client()
	for i, planted := range []string{"nan", "inf", "1e300", "-5", "", "x"} {
		l := newLimiter(t, Options{Shared: redisWithTimeout(client), Secret: secret})
		k, r := l.Key(route, "vilogate", fmt.Sprint(i)), Rate{Events: 10, Per: time.Minute}
		if err := client.Set(t.Context(), fmt.Sprintf("%s%x", keyPrefix, k[:]), planted, 0).Err(); err != nil {
			t.Fatal(err)
		}
		l.Take(k, r)
		if err := l.sync(t.Context()); err != nil {
			t.Errorf("%q: %v", planted, err)
		}
		if got := l.Take(k, r); got.RetryAfter > maxBacklogBursts*time.Minute {
			t.Errorf("%q: %+v", planted, got)
		}
	}
	l := newLimiter(t, Options{Shared: redisWithTimeout(client), Secret: secret})
	k := l.Key(route, "vilogate", "list")
	if err := client.RPush(t.Context(), fmt.Sprintf("%s%x", keyPrefix, k[:]), "x").Err(); err != nil {
		t.Fatal(err)
	}
	l.Take(k, Rate{Events: 10, Per: time.Minute})
	if err := l.sync(t.Context()); err != nil {
		t.Errorf("a list: %v", err)
	}
}

// TestSyncQueueOverflowIsCounted: a store that is away for long costs no memory.
func TestSyncQueueOverflowIsCounted(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, Options{Shared: unreachable{}, Secret: secret})
	for i := range queueLength + 5000 {
		l.Take(l.Key(route, "", fmt.Sprint(i)), Rate{Events: 10, Per: time.Hour})
	}
	if err := l.sync(t.Context()); err == nil {
		t.Error("a store that is away takes what it is told")
	}
	if l.Stats().Unsynced < 4000 || l.Stats().Failures != 1 {
		t.Errorf("%+v", l.Stats())
	}
}

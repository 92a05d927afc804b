package attempts

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newLimiter(tb testing.TB, events int, per time.Duration) *Limiter {
	tb.Helper()
	l, err := New(gcra.Rate{Events: events, Per: per})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestFailuresUseUpABucketThatFillsAgain(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, 3, time.Minute)
	for i := range 3 {
		if _, ok := l.Take("alice", start); !ok {
			t.Fatalf("attempt %d was refused", i)
		}
	}
	if wait, ok := l.Take("alice", start); ok || wait != 20*time.Second {
		t.Errorf("the fourth: %v, %t; want to wait 20s", wait, ok)
	}
	if _, ok := l.Take("bob", start); !ok {
		t.Error("bob pays for alice")
	}
	if wait, ok := l.Take("alice", start.Add(19*time.Second)); ok || wait != time.Second {
		t.Errorf("after 19s: %v, %t; want to wait 1s more", wait, ok)
	}
	if _, ok := l.Take("alice", start.Add(20*time.Second)); !ok {
		t.Error("after 20s one attempt is back")
	}
	if _, ok := l.Take("alice", start.Add(20*time.Second)); ok {
		t.Error("after 20s only one attempt is back")
	}
	for i := range 3 {
		if _, ok := l.Take("alice", start.Add(time.Hour)); !ok {
			t.Errorf("an hour later, attempt %d was refused", i)
		}
	}
	if _, ok := l.Take("alice", start.Add(time.Hour)); ok {
		t.Error("a bucket holds more than it should")
	}
}

func TestSuccessIsNotCounted(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, 2, time.Minute)
	for range 50 {
		if _, ok := l.Take("alice", start); !ok {
			t.Fatal("refused")
		}
		l.Refund("alice")
	}
}

func TestManyAtOnceDoNotAllPass(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, 5, time.Minute)
	var passed atomic.Int64
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if _, ok := l.Take("alice", start); ok {
				passed.Add(1)
			}
		})
	}
	group.Wait()
	if passed.Load() != 5 {
		t.Errorf("%d of 100 passed, want 5", passed.Load())
	}
}

func TestAFloodOfNamesForgetsNobody(t *testing.T) {
	t.Parallel()
	l := newLimiter(t, 3, time.Minute)
	for range 3 {
		l.Take("alice", start)
	}
	for i := range 200_000 {
		l.Take(fmt.Sprint("made-up ", i), start)
	}
	if _, ok := l.Take("alice", start); ok {
		t.Error("alice's failures were forgotten")
	}
}

func TestImpossibleRates(t *testing.T) {
	t.Parallel()
	if _, err := New(gcra.Rate{}); err == nil {
		t.Error("a rate of nothing was taken")
	}
}

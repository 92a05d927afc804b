package attempts

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

func newAccounts(tb testing.TB, events int, per time.Duration) *Accounts {
	tb.Helper()
	a, err := NewAccounts(gcra.Rate{Events: events, Per: per})
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// fail takes an attempt that is not refunded.
func fail(a *Accounts, now time.Time) (wait time.Duration, ok bool) {
	_, wait, ok = a.Take("alice", now)
	return wait, ok
}

func TestAnAccountIsSlowedDownInStepsAndNeverClosed(t *testing.T) {
	t.Parallel()
	a, now := newAccounts(t, 10, time.Minute), start
	for i := range 10 {
		if _, ok := fail(a, now); !ok {
			t.Fatalf("attempt %d was refused", i)
		}
	}
	for i := 10; i < maxConsecutive; i++ {
		if wait, ok := fail(a, now); ok || wait != time.Minute {
			t.Fatalf("after %d failures: %v, %t; want to wait a minute", i, wait, ok)
		}
		now = now.Add(time.Minute)
		if _, ok := fail(a, now); !ok {
			t.Fatalf("after %d failures and a minute: refused", i)
		}
	}
	for range 20 {
		if wait, ok := fail(a, now); ok || wait != 10*time.Minute {
			t.Fatalf("after a hundred failures: %v, %t; want to wait ten minutes", wait, ok)
		}
		now = now.Add(10*time.Minute - time.Second)
		if wait, ok := fail(a, now); ok || wait != time.Second {
			t.Fatalf("a second too early: %v, %t", wait, ok)
		}
		now = now.Add(time.Second)
		if _, ok := fail(a, now); !ok {
			t.Fatal("after ten minutes: refused")
		}
	}
	if _, _, ok := a.Take("bob", now); !ok {
		t.Error("bob pays for alice")
	}
	a.Reset("alice")
	for i := range 10 {
		if _, ok := fail(a, now); !ok {
			t.Fatalf("after a reset, attempt %d was refused", i)
		}
	}
}

func TestConsecutiveFailuresAreForgottenAfterADay(t *testing.T) {
	t.Parallel()
	a := newAccounts(t, 100, time.Minute)
	for range 100 {
		fail(a, start)
	}
	if wait, _ := fail(a, start.Add(forgetAfter-slowestInterval)); wait != 0 {
		t.Errorf("hours later: %v", wait)
	}
	if wait, ok := fail(a, start.Add(forgetAfter-slowestInterval)); ok || wait != slowestInterval {
		t.Errorf("and again: %v, %t", wait, ok)
	}
	for i := range 50 {
		if _, ok := fail(a, start.Add(2*forgetAfter)); !ok {
			t.Fatalf("a day later, attempt %d was refused", i)
		}
	}
}

func TestARefundedAttemptLeavesNothing(t *testing.T) {
	t.Parallel()
	a := newAccounts(t, 100, time.Minute)
	for range 300 {
		refund, _, ok := a.Take("alice", start)
		if !ok {
			t.Fatal("refused")
		}
		refund()
	}
	for range 100 {
		fail(a, start)
	}
	later := start.Add(2 * slowestInterval)
	refund, _, ok := a.Take("alice", later)
	if !ok {
		t.Fatal("after ten minutes: refused")
	}
	refund()
	if _, ok := fail(a, later); !ok {
		t.Error("a refunded attempt counts")
	}
	if _, ok := fail(a, later); ok {
		t.Error("the next one counts for nothing")
	}
	// One that is refunded after a reset is not refunded twice.
	b := newAccounts(t, 2, time.Minute)
	refund, _, _ = b.Take("alice", start)
	b.Reset("alice")
	refund()
	fail(b, start)
	fail(b, start)
	if _, ok := fail(b, start); ok {
		t.Error("a quota of two let three through")
	}
}

func TestASlowerQuotaKeepsItsPace(t *testing.T) {
	t.Parallel()
	a := newAccounts(t, 4, time.Hour)
	for range 4 {
		fail(a, start)
	}
	if wait, ok := fail(a, start); ok || wait != 15*time.Minute {
		t.Errorf("%v, %t; want to wait 15m", wait, ok)
	}
	if _, err := NewAccounts(gcra.Rate{}); err == nil {
		t.Error("a rate of nothing was taken")
	}
}

func TestManyAtOnceDoNotAllPassAnAccount(t *testing.T) {
	t.Parallel()
	a := newAccounts(t, 5, time.Minute)
	var passed atomic.Int64
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if _, ok := fail(a, start); ok {
				passed.Add(1)
			}
		})
	}
	group.Wait()
	if passed.Load() != 5 {
		t.Errorf("%d of 100 passed, want 5", passed.Load())
	}
}

package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a log whose doings a test decides, so that a bubble's clock can run past it.
type fake struct {
	follow func(ctx context.Context, to Sink) error
	append func(entries []Entry) error
}

func (f *fake) Append(_ context.Context, entries []Entry) error { return f.append(entries) }

func (f *fake) Follow(ctx context.Context, to Sink) error { return f.follow(ctx, to) }

// bubbled runs a list over a fake log in a bubble of time.
func bubbled(t *testing.T, log Log, o Options, f func(l *List)) {
	synctest.Test(t, func(t *testing.T) {
		l := NewList(log, o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		synctest.Wait()
		f(l)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// pass lets a bubble's time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// TestStaleness: stale before the first view and when the last one is too old, fresh as soon as there is another; ready
// from the first view on, whatever comes.
func TestStaleness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		contact := make(chan time.Time)
		l := NewList(&fake{follow: func(ctx context.Context, to Sink) error {
			for {
				select {
				case <-ctx.Done():
					return ctx.Err()
				case asOf := <-contact:
					to.Apply(nil, asOf)
				}
			}
		}}, Options{MaxStaleness: 30 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		check := func(when string, ready, stale bool) {
			t.Helper()
			synctest.Wait()
			if l.Ready() != ready || l.Stale(time.Now()) != stale {
				t.Errorf("%s: ready %v, stale %v", when, l.Ready(), l.Stale(time.Now()))
			}
		}
		check("at first", false, true)
		if c := l.Stats().LastSync; !c.IsZero() {
			t.Errorf("a contact before the first: %v", c)
		}
		contact <- time.Now()
		check("with a view", true, false)
		pass(30 * time.Second)
		check("as old as it may be", true, false)
		pass(time.Nanosecond)
		check("older", true, true)
		contact <- time.Now().Add(-time.Minute)
		check("with a view that is old itself", true, true)
		contact <- time.Now()
		check("with a new view", true, false)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestAClockSetBackHidesNothing: the age is the longer of what the wall clock and the monotonic one say.
func TestAClockSetBackHidesNothing(t *testing.T) {
	t.Parallel()
	base := time.Now()
	for name, now := range map[string]time.Time{
		"both say a minute": base.Add(time.Minute),
		"the wall says so":  base.Round(0).Add(time.Minute),
	} {
		if got := age(base, now); got != time.Minute {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A monotonic reading cannot be made, only had: the one of base stands still while its wall clock is replaced.
	if got := age(base, base.Round(0).Add(-time.Hour)); got > 0 {
		t.Errorf("an hour back: %v", got)
	}
}

// TestFollowingIsTriedAgain at once, then ever less often, but at least every second; it is logged once.
func TestFollowingIsTriedAgain(t *testing.T) {
	t.Parallel()
	var tries []time.Time
	var out lines
	log := &fake{follow: func(_ context.Context, to Sink) error {
		tries = append(tries, time.Now())
		if len(tries) == 10 {
			to.Apply(nil, to.Now())
		}
		return errors.New("gone")
	}}
	bubbled(t, log, Options{Log: slog.New(slog.NewTextHandler(&out, nil))}, func(l *List) {
		pass(30 * time.Second)
		for i := 1; i < len(tries); i++ {
			if pause := tries[i].Sub(tries[i-1]); pause < minBackoff || pause > maxBackoff || i == 10 && pause != minBackoff {
				t.Errorf("pause %d is %v", i, pause)
			}
		}
		if len(tries) < 30 {
			t.Errorf("%d tries in half a minute", len(tries))
		}
		if n := strings.Count(out.String(), "level=WARN"); n != 2 {
			t.Errorf("%d warnings, want one for each time that it began:\n%s", n, out.String())
		}
	})
}

// TestNothingIsKnownBeforeItIsAcknowledged: a log that fails leaves the list as it was.
func TestNothingIsKnownBeforeItIsAcknowledged(t *testing.T) {
	t.Parallel()
	failure := errors.New("disk full")
	var l *List
	log := &fake{append: func(entries []Entry) error {
		if l.SessionRevoked(ours, entries[0].ID) {
			t.Error("known before the log was asked")
		}
		if entries[0].ID == "bad" {
			return failure
		}
		return nil
	}}
	l = NewList(log, Options{})
	if err := l.Publish(t.Context(), session("bad")); !errors.Is(err, failure) || l.SessionRevoked(ours, "bad") {
		t.Errorf("Publish: %v, and it is known: %v", err, l.SessionRevoked(ours, "bad"))
	}
	if err := l.Publish(t.Context(), session("good")); err != nil || !l.SessionRevoked(ours, "good") {
		t.Errorf("Publish: %v, and it is known: %v", err, l.SessionRevoked(ours, "good"))
	}
}

// TestMemoryIsPurged by the list itself, while it runs.
func TestMemoryIsPurged(t *testing.T) {
	t.Parallel()
	log := &fake{
		follow: func(ctx context.Context, to Sink) error {
			var held []Entry
			for i := range 1000 {
				e := session(fmt.Sprint(i))
				e.Expires = to.Now().Add(time.Duration(i) * time.Second)
				held = append(held, e)
			}
			to.Reconcile(held, to.Now())
			<-ctx.Done()
			return ctx.Err()
		},
	}
	bubbled(t, log, Options{}, func(l *List) {
		if n := l.Stats().Entries; n != 999 {
			t.Errorf("%d entries at first; one has expired before it came", n)
		}
		pass(10*time.Minute + purgeInterval)
		if n := l.Stats().Entries; n > 400 || n < 300 {
			t.Errorf("%d entries after ten minutes", n)
		}
		pass(10 * time.Minute)
		if n := l.Stats().Entries; n != 0 {
			t.Errorf("%d entries in the end", n)
		}
	})
}

// TestReconcileReturnsWhatIsLacking: all that the log does not hold in full, and nothing that has expired.
func TestReconcileReturnsWhatIsLacking(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	entry := func(id string, moment, end int) Entry {
		return Entry{Kind: Subject, Issuer: ours, ID: id, Cutoff: now.Add(time.Duration(moment) * time.Second), Expires: now.Add(time.Duration(end) * time.Hour)}
	}
	l := NewList(nil, Options{Now: func() time.Time { return now }})
	s := sink{l}
	s.Apply([]Entry{
		entry("same", 1, 1), entry("older-there", 2, 1), entry("newer-there", 1, 1), entry("missing", 1, 1),
		entry("expired", 1, -1), entry("crossed", 2, 1),
	}, now)
	lacking := s.Reconcile([]Entry{
		entry("same", 1, 1), entry("older-there", 1, 1), entry("newer-there", 2, 2), entry("crossed", 1, 2), entry("only-there", 1, 1),
	}, now)
	slices.SortFunc(lacking, func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
	want := []Entry{entry("crossed", 2, 2), entry("missing", 1, 1), entry("older-there", 2, 1)}
	if !slices.EqualFunc(lacking, want, func(a, b Entry) bool {
		return a.ID == b.ID && a.Cutoff.Equal(b.Cutoff) && a.Expires.Equal(b.Expires)
	}) {
		t.Errorf("lacking:\n%+v, want\n%+v", lacking, want)
	}
	if n := l.Stats().Entries; n != 6 {
		t.Errorf("%d entries", n)
	}
}

// TestAViewThatWasNotConfirmedIsWaitedFor: two seconds after the last contact who asks waits for the next, all of them
// together, a quarter of a second at most, and not again until there was news, or two seconds have passed.
func TestAViewThatWasNotConfirmedIsWaitedFor(t *testing.T) {
	t.Parallel()
	var news chan time.Time
	log := &fake{follow: func(ctx context.Context, to Sink) error {
		news = make(chan time.Time) // of the bubble
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case asOf := <-news:
				to.Apply(nil, asOf)
			}
		}
	}}
	bubbled(t, log, Options{MaxStaleness: 30 * time.Second}, func(l *List) {
		await := func(what string, want time.Duration) {
			t.Helper()
			began := time.Now()
			l.AwaitSync(began)
			if waited := time.Since(began); waited != want {
				t.Errorf("%s: waited %v, want %v", what, waited, want)
			}
		}
		await("before the first view", syncTimeout)
		await("before the first view, again", 0)
		news <- time.Now()
		await("with a view", 0)
		pass(maxUnconfirmed)
		await("as old as it is believed", 0)
		pass(time.Nanosecond)
		ended := make(chan time.Duration)
		began := time.Now()
		for range 100 {
			go func() {
				l.AwaitSync(began)
				ended <- time.Since(began)
			}()
		}
		pass(syncTimeout / 2)
		news <- time.Now().Add(-time.Minute) // which was under way when the process was frozen
		synctest.Wait()
		if n := l.Stats().SyncWaits; n != 2 {
			t.Errorf("%d waits, want one before the first view and one for a hundred requests", n)
		}
		news <- time.Now()
		for range 100 {
			if waited := <-ended; waited != syncTimeout/2 {
				t.Fatalf("waited %v for news that came after %v", waited, syncTimeout/2)
			}
		}
		pass(10 * time.Second)
		await("long after", syncTimeout)
		await("long after, again", 0)
		pass(maxUnconfirmed - syncTimeout)
		await("two seconds after that wait began", 0)
		if l.Stale(time.Now()) {
			t.Error("a view is stale before MaxStaleness")
		}
		if s := l.Stats(); s.SyncWaits != 3 || s.SyncTimeouts != 2 {
			t.Errorf("%d waits, %d in vain; want 3 and 2", s.SyncWaits, s.SyncTimeouts)
		}
		news <- time.Now()
		pass(maxUnconfirmed + time.Second)
		await("after news, and long after them", syncTimeout)
	})
	bubbled(t, &fake{follow: func(ctx context.Context, to Sink) error {
		to.Reconcile(nil, neverStale)
		<-ctx.Done()
		return ctx.Err()
	}}, Options{}, func(l *List) {
		pass(time.Hour)
		began := time.Now()
		if l.AwaitSync(began); time.Since(began) != 0 || l.Stats().SyncWaits != 0 {
			t.Error("a list that nobody else writes to is waited for")
		}
	})
}

// TestAWaitInVainIsRepeatedAfterAFreeze: one that was over before, and one in the middle of which the process was frozen; and
// whoever hurries to make news is told of each wait.
func TestAWaitInVainIsRepeatedAfterAFreeze(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]time.Duration{"after the wait": syncTimeout + time.Millisecond, "in the middle": syncTimeout / 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var c clock
				l := NewList(nil, Options{Now: c.now, MaxStaleness: time.Minute})
				s := sink{l}
				s.Apply(nil, c.now())
				c.advance(maxUnconfirmed + 1)
				done := make(chan struct{}, 2)
				await := func() {
					l.AwaitSync(c.now())
					done <- struct{}{}
				}
				go await()
				pass(before)
				<-l.unconfirmed.begun
				c.advance(maxUnconfirmed) // the process is frozen
				if before > syncTimeout {
					<-done
				}
				go await()
				pass(syncTimeout - 2)
				if len(done) != 0 {
					t.Error("a request went on before there was news")
				}
				s.Apply(nil, c.now())
				synctest.Wait()
				if want := map[bool]int{true: 1, false: 2}[before > syncTimeout]; len(done) != want {
					t.Errorf("%d requests went on at the news, want %d", len(done), want)
				}
				if n := l.Stats().SyncWaits; n != 2 || len(l.unconfirmed.begun) != 1 {
					t.Errorf("%d waits, want 2, of which the second is told of", n)
				}
				pass(syncTimeout)
			})
		})
	}
}

// TestAWaitingRequestHurriesTheLog: the log is followed again at once, and not after the backoff.
func TestAWaitingRequestHurriesTheLog(t *testing.T) {
	t.Parallel()
	tries := 0
	log := &fake{follow: func(context.Context, Sink) error {
		tries++
		return errors.New("gone")
	}}
	bubbled(t, log, Options{}, func(l *List) {
		pass(10*time.Second + 10*time.Millisecond)
		before := tries
		go l.AwaitSync(l.now())
		synctest.Wait()
		if tries != before+1 {
			t.Errorf("%d tries, want one at once", tries-before)
		}
		pass(syncTimeout)
	})
}

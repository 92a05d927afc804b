package renewals

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/idp/backchannel"
	"github.com/viloforge/vilogate/idp/token"
)

// errAway is what an identity provider that is not there says.
var errAway = errors.New("away")

// idp is an identity provider that takes its time.
type idp struct {
	mu        sync.Mutex
	takes     time.Duration
	err       error
	checks    int
	rotations int
	delivered []string
}

func (i *idp) ask(ctx context.Context, count *int) error {
	i.mu.Lock()
	*count++
	err, takes := i.err, i.takes
	i.mu.Unlock()
	select {
	case <-time.After(takes):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (i *idp) Check(ctx context.Context, q backchannel.Question) (backchannel.Status, error) {
	return backchannel.Status{Claims: "claims of " + q.Handle}, i.ask(ctx, &i.checks)
}

func (i *idp) Rotate(ctx context.Context, q backchannel.Question) (backchannel.Successor, error) {
	return backchannel.Successor{Token: "after " + q.Handle}, i.ask(ctx, &i.rotations)
}

func (i *idp) Delivered(ctx context.Context, token string) error {
	var count int
	err := i.ask(ctx, &count)
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.delivered = append(i.delivered, token)
	}
	return err
}

func (i *idp) Active(context.Context, string, time.Time) (bool, time.Time, error) {
	return false, time.Time{}, errAway
}

func (i *idp) set(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

func verified(string) (*token.Claims, error) { return nil, nil }

func check(r *Renewals, i *idp, jti string) error {
	_, err := r.Check(context.Background(), i, jti, backchannel.Question{Handle: jti}, verified)
	return err
}

// TestOneQuestionForAll: a thousand who wait together, and who ask shortly after, are one question; another handle is another.
func TestOneQuestionForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &idp{takes: 300 * time.Millisecond}
		r := New(slog.New(slog.DiscardHandler))
		defer r.Close()
		var group sync.WaitGroup
		for range 1000 {
			group.Go(func() {
				if err := check(r, i, "a"); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if err := errors.Join(check(r, i, "a"), check(r, i, "b")); err != nil || i.checks != 2 {
			t.Errorf("%d questions, %v", i.checks, err)
		}
		time.Sleep(checkTTL)
		if err := check(r, i, "a"); err != nil || i.checks != 3 {
			t.Errorf("after that: %d questions, %v", i.checks, err)
		}
	})
}

// TestWhoWaitsInVainIsNotTheQuestion: the answer comes to the others, and to who asks next.
func TestWhoWaitsInVainIsNotTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &idp{takes: time.Second}
		r := New(slog.New(slog.DiscardHandler))
		defer r.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
		defer cancel()
		if _, err := r.Check(ctx, i, "a", backchannel.Question{}, verified); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if err := check(r, i, "a"); err != nil || i.checks != 1 {
			t.Errorf("%d questions, %v", i.checks, err)
		}
	})
}

// TestAnIdPThatIsAwayIsLeftAlone: questions are not asked again at once, and all are told so; a refusal is an answer.
func TestAnIdPThatIsAwayIsLeftAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &idp{err: errAway}
		r := New(slog.New(slog.DiscardHandler))
		defer r.Close()
		if err := check(r, i, "a"); !errors.Is(err, errAway) {
			t.Errorf("%v", err)
		}
		for range 100 {
			if err := check(r, i, "b"); !errors.Is(err, ErrBackoff) {
				t.Errorf("%v", err)
			}
		}
		if i.checks != 1 || !errors.Is(r.Failure(), errAway) {
			t.Errorf("%d questions; %v", i.checks, r.Failure())
		}
		for range 1000 { // a minute and more
			time.Sleep(100 * time.Millisecond)
			_ = check(r, i, "a")
		}
		if i.checks > 60 {
			t.Errorf("%d questions in 100 s", i.checks)
		}
		i.set(backchannel.ErrRefused)
		time.Sleep(maxBackoff)
		if err := check(r, i, "a"); !errors.Is(err, backchannel.ErrRefused) || r.Failure() != nil {
			t.Errorf("%v; %v", err, r.Failure())
		}
	})
}

// TestWhatWasDeliveredIsSaidUntilItIsHeard: and no longer than a minute.
func TestWhatWasDeliveredIsSaidUntilItIsHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := &idp{err: errAway}
		r := New(slog.New(slog.DiscardHandler))
		defer r.Close()
		r.Delivered(i, "one")
		time.Sleep(30 * time.Second)
		i.set(nil)
		time.Sleep(maxBackoff)
		synctest.Wait()
		if len(i.delivered) != 1 || i.delivered[0] != "one" {
			t.Errorf("heard: %v", i.delivered)
		}
		i.set(errAway)
		r.Delivered(i, "two")
		time.Sleep(2 * deliveryTimeout)
		if n := r.Stats()["undelivered"]; n != 1 {
			t.Errorf("%d undelivered", n)
		}
	})
}

// TestAnswersAreKeptInABoundedNumber: what is answered makes room.
func TestAnswersAreKeptInABoundedNumber(t *testing.T) {
	t.Parallel()
	s := shared[int]{ttl: time.Hour, calls: map[key]*call[int]{}}
	var tasks sync.WaitGroup
	for n := range maxAnswers + 100 {
		k := key{jti: time.Duration(n).String()}
		if _, err := s.do(t.Context(), k, func() (int, error) { return n, nil }, &tasks); err != nil {
			t.Fatal(err)
		}
	}
	tasks.Wait()
	if len(s.calls) > maxAnswers {
		t.Errorf("%d answers", len(s.calls))
	}
}

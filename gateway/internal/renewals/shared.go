package renewals

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/viloforge/vilogate/idp/backchannel"
)

const (
	// maxAnswers is of how many handles answers are kept.
	maxAnswers = 20_000
	// sweepInterval is how often what holds no more is dropped, as long as something is asked.
	sweepInterval = 10 * time.Second
)

// key is what is asked about, and whom: after a reload that may be another.
type key struct {
	sessions backchannel.Sessions
	jti      string
}

// call is a question under way, or answered.
type call[T any] struct {
	done   chan struct{}
	answer T
	err    error
	until  time.Time // once done: how long the answer holds
}

// shared has each question asked once, for all who ask it together or shortly after.
type shared[T any] struct {
	ttl   time.Duration // for how long an answer holds
	mu    sync.Mutex
	calls map[key]*call[T]
	swept time.Time // when what holds no more was last dropped
}

// do returns the answer to the question, which question gives in a goroutine of its own: it goes on when ctx, of one of those
// who wait, ends.
func (s *shared[T]) do(ctx context.Context, k key, question func() (T, error), tasks *sync.WaitGroup) (T, error) {
	s.mu.Lock()
	c := s.calls[k]
	if c == nil || c.isOver(time.Now()) {
		s.makeRoom()
		c = &call[T]{done: make(chan struct{})}
		s.calls[k] = c
		tasks.Go(func() {
			c.answer, c.err = question()
			c.until = time.Now().Add(s.ttl)
			if isUnanswered(c.err) {
				c.until = time.Now() // only who waits now is told
			}
			close(c.done)
		})
	}
	s.mu.Unlock()
	select {
	case <-c.done:
		return c.answer, c.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// isOver reports whether an answer is there that holds no more.
func (c *call[T]) isOver(now time.Time) bool {
	select {
	case <-c.done:
		return !now.Before(c.until)
	default:
		return false
	}
}

// isUnanswered reports whether an error says that nobody knows.
func isUnanswered(err error) bool {
	return err != nil && !errors.Is(err, backchannel.ErrRefused) && !errors.Is(err, backchannel.ErrReturn) && !errors.Is(err, backchannel.ErrUnsupported)
}

// unusable is an answer that cannot be used: of one session, which says nothing of others.
type unusable struct{ cause error }

func (e *unusable) Error() string {
	return "renewals: an answer that cannot be used: " + e.cause.Error()
}

func (e *unusable) Unwrap() error { return e.cause }

// makeRoom drops what holds no more where there is much, and then whatever is answered. The lock is held.
func (s *shared[T]) makeRoom() {
	now := time.Now()
	if len(s.calls) < maxAnswers && now.Sub(s.swept) < sweepInterval {
		return
	}
	s.swept = now
	for k, c := range s.calls {
		if c.isOver(now) {
			delete(s.calls, k)
		}
	}
	if len(s.calls) < maxAnswers {
		return
	}
	for k, c := range s.calls {
		if c.isOver(now.Add(time.Hour)) {
			delete(s.calls, k)
		}
	}
}

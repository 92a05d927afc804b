// Package renewals asks our own identity provider about sessions on behalf of many requests at a time: whoever brings the same
// handle waits for the same answer, which holds for a few seconds more; what has left for a browser is said until somebody
// has heard it; and while the identity provider does not answer, it is not asked again at once.
//
//   - shared.go: one question for all who ask it.
//   - renewals.go: the questions, the backoff, and what is delivered.
//
// It concludes nothing from an answer: that is the gateway's.
package renewals

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/idp/backchannel"
	"github.com/viloforge/vilogate/idp/token"
)

const (
	// checkTTL is for how long what a handle stands for holds for others who ask the same.
	checkTTL = 5 * time.Second
	// rotationTTL is for how long a successor does: it may have one itself by then.
	rotationTTL = time.Second
	// requestTimeout is how long the identity provider may take, whoever waits.
	requestTimeout = 2 * time.Second
	minBackoff     = 50 * time.Millisecond
	maxBackoff     = 2 * time.Second

	// maxDeliveries is how many successors wait at a time for the identity provider to hear that they have left. One of which it
	// does not hear is given again.
	maxDeliveries = 1024
	// deliveryTimeout is how long that is tried.
	deliveryTimeout = time.Minute
)

// ErrBackoff means that the identity provider did not answer a moment ago, and was not asked again.
var ErrBackoff = errors.New("renewals: the identity provider does not answer, and is asked again shortly")

// Renewals is safe for concurrent use.
type Renewals struct {
	log       *slog.Logger
	ctx       context.Context // of what is asked; ends with Close
	end       context.CancelFunc
	tasks     sync.WaitGroup
	checks    shared[Checked]
	rotations shared[backchannel.Successor]
	deliver   chan struct{} // a place for each delivery

	mu       sync.Mutex
	failures int       // in a row
	cause    error     // of the last
	retryAt  time.Time // not asked before; zero while it answers

	stats [len(statNames)]atomic.Uint64
}

// New returns a Renewals to be closed.
func New(log *slog.Logger) *Renewals {
	r := &Renewals{log: log, deliver: make(chan struct{}, maxDeliveries)}
	r.ctx, r.end = context.WithCancel(context.Background())
	r.checks.ttl, r.rotations.ttl = checkTTL, rotationTTL
	r.checks.calls, r.rotations.calls = map[key]*call[Checked]{}, map[key]*call[backchannel.Successor]{}
	return r
}

// Close ends what is under way.
func (r *Renewals) Close() {
	r.end()
	r.tasks.Wait()
}

// What is counted.
const (
	statGood = iota
	statRefused
	statReturn
	statFailed
	statRotated
	statKept
	statUndelivered
)

var statNames = [...]string{"good", "refused", "return", "failed", "rotated", "kept", "undelivered"}

// Stats are how often the identity provider gave which answer, by its name.
func (r *Renewals) Stats() map[string]uint64 {
	counts := make(map[string]uint64, len(statNames))
	for i, name := range statNames {
		counts[name] = r.stats[i].Load()
	}
	return counts
}

// Checked is what a good handle stands for.
type Checked struct {
	Claims *token.Claims // of its session as of now
	Seen   time.Time     // when its browser was last seen at the login host
}

// Check asks whether the handle of a jti is good, and waits for the answer as long as ctx; verify verifies the claims in it. The
// error is one of the backchannel's, or that nobody knows.
func (r *Renewals) Check(
	ctx context.Context, sessions backchannel.Sessions, jti string, q backchannel.Question, verify func(string) (*token.Claims, error),
) (Checked, error) {
	return ask(ctx, r, &r.checks, key{sessions, jti}, func(ctx context.Context) (Checked, error) {
		status, err := sessions.Check(ctx, q)
		switch {
		case err == nil:
			r.stats[statGood].Add(1)
		case errors.Is(err, backchannel.ErrRefused):
			r.stats[statRefused].Add(1)
			return Checked{}, err
		case errors.Is(err, backchannel.ErrReturn):
			r.stats[statReturn].Add(1)
			return Checked{}, err
		default:
			return Checked{}, err
		}
		claims, err := verify(status.Claims)
		if err != nil {
			err = &unusable{err}
		}
		return Checked{claims, status.Seen}, err
	})
}

// Rotate asks for a successor of the handle of a jti, likewise.
func (r *Renewals) Rotate(ctx context.Context, sessions backchannel.Sessions, jti string, q backchannel.Question) (backchannel.Successor, error) {
	return ask(ctx, r, &r.rotations, key{sessions, jti}, func(ctx context.Context) (backchannel.Successor, error) {
		successor, err := sessions.Rotate(ctx, q)
		switch {
		case err == nil && successor.Token != "":
			r.stats[statRotated].Add(1)
		case err == nil:
			r.stats[statKept].Add(1)
		}
		return successor, err
	})
}

// ask has one question asked for all, unless the identity provider is left alone for now.
func ask[T any](ctx context.Context, r *Renewals, s *shared[T], k key, question func(context.Context) (T, error)) (T, error) {
	return s.do(ctx, k, func() (T, error) {
		var none T
		if err := r.checkBackoff(); err != nil {
			return none, err
		}
		asking, cancel := context.WithTimeout(r.ctx, requestTimeout)
		defer cancel()
		answer, err := question(asking)
		r.recordOutcome(err)
		return answer, err
	}, &r.tasks)
}

func (r *Renewals) checkBackoff() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.retryAt) {
		return ErrBackoff
	}
	return nil
}

// recordOutcome notes whether the identity provider answered.
func (r *Renewals) recordOutcome(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, unusable := errors.AsType[*unusable](err); unusable || !isUnanswered(err) {
		if r.failures > 0 {
			r.log.Info("the identity provider answers again about sessions")
		}
		r.failures, r.cause, r.retryAt = 0, nil, time.Time{}
		return
	}
	r.stats[statFailed].Add(1)
	r.cause = err
	if r.failures++; r.failures == 1 {
		r.log.Warn("the identity provider does not answer about sessions; asking again with backoff", "error", err)
	}
	r.retryAt = time.Now().Add(min(minBackoff<<min(r.failures, 16), maxBackoff))
}

// Failure says that the identity provider does not answer; nil while it does, or nobody asked.
func (r *Renewals) Failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cause
}

// Delivered has the identity provider hear that a successor has left for its browser. It does not wait.
func (r *Renewals) Delivered(sessions backchannel.Sessions, token string) {
	select {
	case r.deliver <- struct{}{}:
	default:
		r.stats[statUndelivered].Add(1)
		return
	}
	r.tasks.Go(func() {
		defer func() { <-r.deliver }()
		ctx, cancel := context.WithTimeout(r.ctx, deliveryTimeout)
		defer cancel()
		for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
			once, done := context.WithTimeout(ctx, requestTimeout)
			err := sessions.Delivered(once, token)
			done()
			if !isUnanswered(err) {
				return
			}
			select {
			case <-ctx.Done():
				r.stats[statUndelivered].Add(1)
				return
			case <-time.After(backoff):
			}
		}
	})
}

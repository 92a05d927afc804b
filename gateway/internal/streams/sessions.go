package streams

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// How sessions are checked at the identity provider.
const (
	checkTimeout        = 5 * time.Second // of one check
	maxConcurrentChecks = 8
	minCheckInterval    = time.Second      // after an answer, whatever it says
	failureTimeout      = 15 * time.Minute // after which a stream ends
	maxBackoff          = time.Minute
)

// checkSessions asks whether sessions live when the tokens of their streams have run out, until ctx ends.
func (i *Index) checkSessions(ctx context.Context) {
	var group errgroup.Group
	group.SetLimit(maxConcurrentChecks)
	defer func() { _ = group.Wait() }() // nothing fails
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.checkDue:
		case <-timer.C:
		}
		for q := i.nextCheck(); q != nil && ctx.Err() == nil; q = i.nextCheck() {
			group.Go(func() error { i.checkSession(ctx, q); return nil })
		}
		timer.Reset(i.untilNextCheck())
	}
}

func (i *Index) nextCheck() *sessionCheck {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.checks.take(i.o.Now())
}

// untilNextCheck is how long it is until the next check.
func (i *Index) untilNextCheck() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.checks.pending) == 0 {
		return time.Hour
	}
	return i.checks.pending[0].due.Sub(i.o.Now())
}

// checkSession asks once about a session, by the earliest iat of its streams: what lives for that lives for later ones.
func (i *Index) checkSession(ctx context.Context, q *sessionCheck) {
	issued, ok := i.earliest(q)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	active, until, err := i.o.Sessions.SessionActive(ctx, q.session.id, issued)
	for _, e := range i.checked(q, issued, active, until, err) {
		i.end(e, SessionOver)
	}
}

// earliest is the earliest iat of a session's streams; false where there are none.
func (i *Index) earliest(q *sessionCheck) (issued time.Time, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.checks.bySession[q.session] != q {
		return issued, false
	}
	for _, e := range i.entries.of(bySession, q.session, nil) {
		if !ok || e.owner.IssuedAt.Before(issued) {
			issued, ok = e.owner.IssuedAt, true
		}
	}
	if !ok { // all of them are ending
		i.checks.drop(q.session)
	}
	return issued, ok
}

// checked notes the answer about tokens with an iat, and returns the streams that end by it.
func (i *Index) checked(q *sessionCheck, issued time.Time, active bool, until time.Time, err error) (over []*entry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.checks.bySession[q.session] != q {
		return nil // its streams have ended
	}
	defer signal(i.checkDue)
	now := i.o.Now()
	if err != nil {
		return i.checkFailed(q, now)
	}
	q.failingSince, q.attempts = time.Time{}, 0
	if !active {
		// Those with a later iat are asked about next.
		over = i.entries.of(bySession, q.session, func(e *entry) bool { return !e.owner.IssuedAt.After(issued) })
		i.checks.reschedule(q, now)
		return over
	}
	if earliest := now.Add(minCheckInterval); until.Before(earliest) {
		until = earliest
	}
	q.issued, q.validUntil = issued, until
	i.checks.reschedule(q, until)
	return nil
}

// checkFailed has a check that was not answered sent again, or returns the streams that end without an answer.
// mu is held.
func (i *Index) checkFailed(q *sessionCheck, now time.Time) (over []*entry) {
	if q.failingSince.IsZero() {
		q.failingSince = now
	}
	if now.Sub(q.failingSince) >= failureTimeout {
		over = i.entries.of(bySession, q.session, nil)
		i.checks.drop(q.session)
		return over
	}
	i.checks.reschedule(q, now.Add(min(time.Second<<min(q.attempts, 10), maxBackoff)))
	q.attempts++
	return nil
}

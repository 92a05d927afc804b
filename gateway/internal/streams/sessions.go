package streams

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// How sessions are asked about.
const (
	askTimeout   = 5 * time.Second  // one question
	askAtOnce    = 8                // questions
	minAskAgain  = time.Second      // after an answer, whatever it says
	noAnswerTime = 15 * time.Minute // after which a stream ends
	maxBackoff   = time.Minute
)

// askSessions asks whether sessions live when the tokens of their streams have run out, until ctx ends.
func (i *Index) askSessions(ctx context.Context) {
	var group errgroup.Group
	group.SetLimit(askAtOnce)
	defer func() { _ = group.Wait() }() // nothing fails
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-i.ask:
		case <-timer.C:
		}
		for q := i.takeQuestion(); q != nil && ctx.Err() == nil; q = i.takeQuestion() {
			group.Go(func() error { i.askSession(ctx, q); return nil })
		}
		timer.Reset(i.untilQuestion())
	}
}

func (i *Index) takeQuestion() *question {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.questions.take(i.o.Now())
}

// untilQuestion is how long it is until the next question.
func (i *Index) untilQuestion() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.questions.waiting) == 0 {
		return time.Hour
	}
	return i.questions.waiting[0].due.Sub(i.o.Now())
}

// askSession asks once about a session, by the earliest iat of its streams: what lives for that lives for later ones.
func (i *Index) askSession(ctx context.Context, q *question) {
	issued, ok := i.earliest(q)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	active, until, err := i.o.Sessions.SessionActive(ctx, q.session.id, issued)
	for _, e := range i.answered(q, issued, active, until, err) {
		i.end(e, SessionOver)
	}
}

// earliest is the earliest iat of a session's streams; false where there are none.
func (i *Index) earliest(q *question) (issued time.Time, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.questions.bySession[q.session] != q {
		return issued, false
	}
	for _, e := range i.entries.of(bySession, q.session, nil) {
		if !ok || e.owner.IssuedAt.Before(issued) {
			issued, ok = e.owner.IssuedAt, true
		}
	}
	if !ok { // all of them are ending
		i.questions.drop(q.session)
	}
	return issued, ok
}

// answered notes the answer about tokens with an iat, and returns the streams that end by it.
func (i *Index) answered(q *question, issued time.Time, active bool, until time.Time, err error) (over []*entry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.questions.bySession[q.session] != q {
		return nil // its streams have ended
	}
	defer signal(i.ask)
	now := i.o.Now()
	if err != nil {
		return i.unanswered(q, now)
	}
	q.failing, q.attempts = time.Time{}, 0
	if !active {
		// Those with a later iat are asked about next.
		over = i.entries.of(bySession, q.session, func(e *entry) bool { return !e.owner.IssuedAt.After(issued) })
		i.questions.again(q, now)
		return over
	}
	if earliest := now.Add(minAskAgain); until.Before(earliest) {
		until = earliest
	}
	q.issued, q.good = issued, until
	i.questions.again(q, until)
	return nil
}

// unanswered has a question asked again that was not answered, or returns the streams that end without an answer.
// mu is held.
func (i *Index) unanswered(q *question, now time.Time) (over []*entry) {
	if q.failing.IsZero() {
		q.failing = now
	}
	if now.Sub(q.failing) >= noAnswerTime {
		over = i.entries.of(bySession, q.session, nil)
		i.questions.drop(q.session)
		return over
	}
	i.questions.again(q, now.Add(min(time.Second<<min(q.attempts, 10), maxBackoff)))
	q.attempts++
	return nil
}

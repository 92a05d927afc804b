package streams

import (
	"container/heap"
	"time"
)

// A sessionCheck asks whether a session lives by which streams were admitted. There is one a session.
type sessionCheck struct {
	session key
	due     time.Time // when it is to be sent
	index   int       // in the heap; -1 while it is being sent

	validUntil   time.Time // up to when the last answer is good; zero before there was one
	issued       time.Time // what the last answer was about: tokens with this iat and later
	failingSince time.Time // since when there is no answer; zero while there is
	attempts     int       // since then
}

// covers reports whether the last answer is good for longer than the owner's token.
func (q *sessionCheck) covers(o *Owner) bool {
	return q.failingSince.IsZero() && !o.IssuedAt.Before(q.issued) && q.validUntil.After(o.Expires)
}

// sessionChecks are those of all sessions, and which of them is due next.
type sessionChecks struct {
	bySession map[key]*sessionCheck
	pending   checkHeap
}

// checkHeap is a heap by due. It implements [heap.Interface].
type checkHeap []*sessionCheck

func (w checkHeap) Len() int           { return len(w) }
func (w checkHeap) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w checkHeap) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

func (w *checkHeap) Push(x any) {
	q := x.(*sessionCheck)
	q.index = len(*w)
	*w = append(*w, q)
}

func (w *checkHeap) Pop() any {
	last := len(*w) - 1
	q := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	q.index = -1
	return q
}

// schedule has a session checked at that time, if not before. It reports whether it is the next one now.
func (s *sessionChecks) schedule(session key, due time.Time) (next bool) {
	q := s.bySession[session]
	switch {
	case q == nil:
		q = &sessionCheck{session: session, due: due}
		s.bySession[session] = q
		heap.Push(&s.pending, q)
	case q.index < 0: // it is being sent, and then due again
		q.due = due
	case due.Before(q.due):
		q.due = due
		heap.Fix(&s.pending, q.index)
	}
	return q.index == 0
}

// take takes a check that is due.
func (s *sessionChecks) take(now time.Time) *sessionCheck {
	if len(s.pending) == 0 || s.pending[0].due.After(now) {
		return nil
	}
	return heap.Pop(&s.pending).(*sessionCheck)
}

// reschedule has a check that was taken sent once more.
func (s *sessionChecks) reschedule(q *sessionCheck, due time.Time) {
	q.due = due
	heap.Push(&s.pending, q)
}

// drop forgets the check of a session.
func (s *sessionChecks) drop(session key) {
	q := s.bySession[session]
	if q == nil {
		return
	}
	delete(s.bySession, session)
	if q.index >= 0 {
		heap.Remove(&s.pending, q.index)
	}
}

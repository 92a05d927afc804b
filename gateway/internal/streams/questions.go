package streams

import (
	"container/heap"
	"time"
)

// A question is whether a session lives by which streams were admitted. There is one a session.
type question struct {
	session key
	due     time.Time // when it is to be asked
	at      int       // in the heap; -1 while it is being asked

	good     time.Time // up to when the last answer is good; zero before there was one
	issued   time.Time // what the last answer was about: tokens with this iat and later
	failing  time.Time // since when there is no answer; zero while there is
	attempts int       // since then
}

// covers reports whether the last answer is good for longer than the owner's token.
func (q *question) covers(o *Owner) bool {
	return q.failing.IsZero() && !o.IssuedAt.Before(q.issued) && q.good.After(o.Expires)
}

// questions are those of all sessions, and which of them is due next.
type questions struct {
	bySession map[key]*question
	waiting   waiting
}

// waiting is a heap by due. It implements [heap.Interface].
type waiting []*question

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].due.Before(w[j].due) }
func (w waiting) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].at, w[j].at = i, j
}

func (w *waiting) Push(x any) {
	q := x.(*question)
	q.at = len(*w)
	*w = append(*w, q)
}

func (w *waiting) Pop() any {
	last := len(*w) - 1
	q := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	q.at = -1
	return q
}

// by has the question of a session asked at that time, if not before. It reports whether it is the next one now.
func (s *questions) by(session key, due time.Time) (next bool) {
	q := s.bySession[session]
	switch {
	case q == nil:
		q = &question{session: session, due: due}
		s.bySession[session] = q
		heap.Push(&s.waiting, q)
	case q.at < 0: // it is being asked, and then due again
		q.due = due
	case due.Before(q.due):
		q.due = due
		heap.Fix(&s.waiting, q.at)
	}
	return q.at == 0
}

// take takes a question that is due.
func (s *questions) take(now time.Time) *question {
	if len(s.waiting) == 0 || s.waiting[0].due.After(now) {
		return nil
	}
	return heap.Pop(&s.waiting).(*question)
}

// again has a question that was taken asked once more.
func (s *questions) again(q *question, due time.Time) {
	q.due = due
	heap.Push(&s.waiting, q)
}

// drop forgets the question of a session.
func (s *questions) drop(session key) {
	q := s.bySession[session]
	if q == nil {
		return
	}
	delete(s.bySession, session)
	if q.at >= 0 {
		heap.Remove(&s.waiting, q.at)
	}
}

package admission

import "slices"

// A Taker takes what a request needs besides a slot, and reports whether there was any.
type Taker interface{ Take() bool }

// waiter is a request that waits for a slot.
type waiter struct {
	who  Client
	more Taker
	done chan error // of one: nil with a slot, or why there will be none
}

// line is what waits of one client, the oldest first.
type line struct {
	who     Client
	waiting []*waiter
}

// queue is who waits. The lines stand in the order of their turns.
type queue struct {
	lines []*line
	count int
}

// add puts a request at the end of its client's line.
func (q *queue) add(w *waiter) {
	q.count++
	if l := q.of(w.who); l != nil {
		l.waiting = append(l.waiting, w)
		return
	}
	q.lines = append(q.lines, &line{w.who, []*waiter{w}})
}

// of is a client's line; nil where nothing of it waits.
func (q *queue) of(who Client) *line {
	i := slices.IndexFunc(q.lines, func(l *line) bool { return l.who == who })
	if i < 0 {
		return nil
	}
	return q.lines[i]
}

// longest is a line in which most wait; nil where nobody does.
func (q *queue) longest() *line {
	var longest *line
	for _, l := range q.lines {
		if longest == nil || len(l.waiting) > len(longest.waiting) {
			longest = l
		}
	}
	return longest
}

// remove takes a request out, and reports whether it was there.
func (q *queue) remove(w *waiter) bool {
	l := q.of(w.who)
	if l == nil {
		return false
	}
	i := slices.Index(l.waiting, w)
	if i < 0 {
		return false
	}
	q.count--
	if l.waiting = slices.Delete(l.waiting, i, i+1); len(l.waiting) == 0 {
		q.lines = slices.DeleteFunc(q.lines, func(other *line) bool { return other == l })
	}
	return true
}

// pass puts the first of the lines behind all others: it had its turn.
func (q *queue) pass() {
	first := q.lines[0]
	q.lines[copy(q.lines, q.lines[1:])] = first
}

package admission

import "slices"

// A Taker takes what a request needs besides a slot, and reports whether there was any.
type Taker interface{ Take() bool }

// waiter is a request that waits for a slot.
type waiter struct {
	client Client
	more   Taker
	done   chan error // of one: nil with a slot, or why there will be none
}

// clientQueue holds what waits of one client, the oldest first.
type clientQueue struct {
	client  Client
	waiting []*waiter
}

// queue is who waits: a queue a client, which are served in turn (round robin).
type queue struct {
	clients []*clientQueue
	count   int
}

// add puts a request at the end of its client's queue.
func (q *queue) add(w *waiter) {
	q.count++
	if l := q.find(w.client); l != nil {
		l.waiting = append(l.waiting, w)
		return
	}
	q.clients = append(q.clients, &clientQueue{w.client, []*waiter{w}})
}

// find finds a client's queue; nil where nothing of it waits.
func (q *queue) find(client Client) *clientQueue {
	i := slices.IndexFunc(q.clients, func(l *clientQueue) bool { return l.client == client })
	if i < 0 {
		return nil
	}
	return q.clients[i]
}

// longest is the client's queue with the most requests; nil where all are empty.
func (q *queue) longest() *clientQueue {
	var longest *clientQueue
	for _, l := range q.clients {
		if longest == nil || len(l.waiting) > len(longest.waiting) {
			longest = l
		}
	}
	return longest
}

// remove takes a request out, and reports whether it was there.
func (q *queue) remove(w *waiter) bool {
	l := q.find(w.client)
	if l == nil {
		return false
	}
	i := slices.Index(l.waiting, w)
	if i < 0 {
		return false
	}
	q.count--
	if l.waiting = slices.Delete(l.waiting, i, i+1); len(l.waiting) == 0 {
		q.clients = slices.DeleteFunc(q.clients, func(other *clientQueue) bool { return other == l })
	}
	return true
}

// rotate puts the first queue behind all others: it had its turn.
func (q *queue) rotate() {
	first := q.clients[0]
	q.clients[copy(q.clients, q.clients[1:])] = first
}

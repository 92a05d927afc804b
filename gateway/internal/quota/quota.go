// Package quota bounds how much of something, such as memory, all clients hold together, and how much one client network.
//
// It belongs to gateway, and is on floor 0.
package quota

import (
	"net/netip"
	"sync"
)

// Quota counts what is held. Safe for concurrent use.
type Quota struct {
	max, perClient int64 // written before it is used

	mu       sync.Mutex
	used     int64                  // guarded by mu
	byClient map[netip.Prefix]int64 // none is 0; guarded by mu
}

// New makes a quota of so much in all, and for one client network (request.ClientNetwork).
func New(most, perClient int64) *Quota {
	return &Quota{max: most, perClient: perClient, byClient: map[netip.Prefix]int64{}}
}

// Acquire takes n, unless that were too much.
func (q *Quota) Acquire(client netip.Prefix, n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.used+n > q.max || q.byClient[client]+n > q.perClient {
		return false
	}
	q.used += n
	q.byClient[client] += n
	return true
}

// Release gives back what was taken.
func (q *Quota) Release(client netip.Prefix, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.used -= n
	if q.byClient[client] -= n; q.byClient[client] == 0 {
		delete(q.byClient, client)
	}
}

// Used is what is taken in all.
func (q *Quota) Used() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.used
}

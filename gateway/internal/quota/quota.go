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
	most, perClient int64 // written before it is used

	mu       sync.Mutex
	held     int64                  // guarded by mu
	byClient map[netip.Prefix]int64 // none is 0; guarded by mu
}

// New makes a quota of so much in all, and for one client network (request.ClientNetwork).
func New(most, perClient int64) *Quota {
	return &Quota{most: most, perClient: perClient, byClient: map[netip.Prefix]int64{}}
}

// Take takes n, unless that were too much.
func (q *Quota) Take(client netip.Prefix, n int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held+n > q.most || q.byClient[client]+n > q.perClient {
		return false
	}
	q.held += n
	q.byClient[client] += n
	return true
}

// Give gives back what was taken.
func (q *Quota) Give(client netip.Prefix, n int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held -= n
	if q.byClient[client] -= n; q.byClient[client] == 0 {
		delete(q.byClient, client)
	}
}

// Held is what is held in all.
func (q *Quota) Held() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.held
}

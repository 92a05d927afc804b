package posts

import (
	"context"
	"slices"
	"sync"
	"time"
)

// memory is the store of one process. It is safe for concurrent use.
type memory struct {
	now func() time.Time

	mu     sync.Mutex
	posts  map[string]held // by id; guarded by mu
	queue  []expiry        // of all of them, in the order of their ends; guarded by mu
	owners map[string]int  // how many posts each has; guarded by mu
	total  int64           // bytes; guarded by mu
	timed  bool            // a timer runs that purges; guarded by mu
}

type held struct {
	owner string
	value []byte
}

type expiry struct {
	id  string
	end time.Time
}

func newMemory(now func() time.Time) *memory {
	return &memory{now: now, posts: map[string]held{}, owners: map[string]int{}}
}

// Put implements Store.
func (m *memory) Put(_ context.Context, owner, id string, value []byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.purge()
	if m.owners[owner] >= PerBrowser || m.total+size(value) > Total {
		return false, nil
	}
	m.posts[id] = held{owner, value}
	m.queue = append(m.queue, expiry{id, m.now().Add(Lifetime)})
	m.owners[owner]++
	m.total += size(value)
	m.schedulePurge()
	return true, nil
}

// schedulePurge has memory be given back though nobody comes any more who would have it purged. m.mu is held.
func (m *memory) schedulePurge() {
	if m.timed || len(m.queue) == 0 {
		return
	}
	m.timed = true
	time.AfterFunc(Lifetime, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.timed = false
		m.purge()
		m.schedulePurge()
	})
}

// Get implements Store.
func (m *memory) Get(_ context.Context, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.purge()
	return m.posts[id].value, nil
}

// Take implements Store.
func (m *memory) Take(_ context.Context, _, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.purge()
	value := m.posts[id].value
	if value != nil {
		m.queue = slices.DeleteFunc(m.queue, func(e expiry) bool { return e.id == id })
		m.remove(id)
	}
	return value, nil
}

// purge removes what has ended. m.mu is held.
func (m *memory) purge() {
	now := m.now()
	for len(m.queue) > 0 && !now.Before(m.queue[0].end) {
		m.remove(m.queue[0].id)
		m.queue = m.queue[1:]
	}
}

// remove removes a post, but for its place in the queue. m.mu is held.
func (m *memory) remove(id string) {
	p := m.posts[id]
	delete(m.posts, id)
	m.total -= size(p.value)
	if m.owners[p.owner]--; m.owners[p.owner] == 0 {
		delete(m.owners, p.owner)
	}
}

func size(value []byte) int64 { return int64(len(value)) + Overhead }

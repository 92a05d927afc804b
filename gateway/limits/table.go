package limits

import (
	"sync"
	"time"
)

// ways is how many keys share a set.
const ways = 8

// DefaultKeys is how many keys a table remembers at a time, where nobody says otherwise.
const DefaultKeys = 1 << 19

// A table keeps the TATs of keys, set-associative. Its size is fixed; pages that were never written take no memory.
type table struct {
	sets []set // a power of two of them
}

// A set is a few slots that one lock guards.
type set struct {
	mu    sync.Mutex
	slots [ways]slot // guarded by mu
}

// A slot is the GCRA state of a key; one without a backlog is free.
type slot struct {
	key   Key
	tat   int64 // theoretical arrival time (TAT), on the limiter's clock: when the backlog is empty
	burst int64 // the rate's burst, by which backlogs of different rates compare
	// unsynced is the part of the backlog that was not pushed to the fleet yet; queued says that the next sync pushes it.
	unsynced int64
	queued   bool
}

func newTable(keys int) *table {
	sets := 1
	for sets*ways < keys {
		sets *= 2
	}
	return &table{make([]set, sets)}
}

func (t *table) lookup(k Key) (s *set, index uint32) {
	index = k.setIndex() & uint32(len(t.sets)-1)
	return &t.sets[index], index
}

// find is the slot of a key, one that is free now, or the one whose backlog is the smallest share of its burst. The caller
// holds the set's lock. evicted says that another key's backlog was evicted for it.
func (s *set) find(k Key, now int64) (p *slot, evicted bool) {
	var least *slot
	leastRatio := 0.0
	for i := range s.slots {
		p := &s.slots[i]
		if p.key == k {
			return p, false
		}
		if least != nil && leastRatio == 0 {
			continue // there is a free one
		}
		backlog := max(p.tat-now, 0)
		ratio := 0.0
		if backlog > 0 {
			ratio = float64(backlog) / float64(p.burst)
		}
		if least == nil || ratio < leastRatio {
			least, leastRatio = p, ratio
		}
	}
	*least = slot{key: k}
	return least, leastRatio > 0
}

// backlog is the TAT less now, zero where that has passed.
func (p *slot) backlog(now int64) time.Duration { return time.Duration(max(p.tat-now, 0)) }

package limits

import (
	"sync"
	"time"
)

// ways is how many keys share a set.
const ways = 8

// DefaultKeys is how many keys a table remembers at a time, where nobody says otherwise.
const DefaultKeys = 1 << 19

// A table remembers what keys owe. Its size is fixed; pages that were never written take no memory.
type table struct {
	sets []set // a power of two of them
}

// A set is a few places that one lock guards.
type set struct {
	mu     sync.Mutex
	places [ways]place // guarded by mu
}

// A place is what is remembered of a key; one that owes nothing is free.
type place struct {
	key   Key
	even  int64 // the moment at which nothing is owed any more
	quota int64 // that the rate allows to owe, by which debts of different rates compare
	// untold is how much of the debt the fleet has not been told of; queued says that somebody is to tell it.
	untold int64
	queued bool
}

func newTable(keys int) *table {
	sets := 1
	for sets*ways < keys {
		sets *= 2
	}
	return &table{make([]set, sets)}
}

func (t *table) of(k Key) (s *set, number uint32) {
	number = k.number() & uint32(len(t.sets)-1)
	return &t.sets[number], number
}

// find is the place of a key, one that is free now, or the one whose debt is the smallest share of its quota. The caller
// holds the set's lock. evicted says that somebody else's debt was forgotten for it.
func (s *set) find(k Key, now int64) (p *place, evicted bool) {
	var least *place
	share := 0.0
	for i := range s.places {
		p := &s.places[i]
		if p.key == k {
			return p, false
		}
		if least != nil && share == 0 {
			continue // there is a free one
		}
		owed := max(p.even-now, 0)
		mine := 0.0
		if owed > 0 {
			mine = float64(owed) / float64(p.quota)
		}
		if least == nil || mine < share {
			least, share = p, mine
		}
	}
	*least = place{key: k}
	return least, share > 0
}

// owed is what a place owes at a moment.
func (p *place) owed(now int64) time.Duration { return time.Duration(max(p.even-now, 0)) }

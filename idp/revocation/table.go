package revocation

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// A table holds facts by their names. Reading takes no lock and allocates nothing, also while others write: it is a hash
// table with linear probing, in which a slot once taken keeps its name. Only growing and purging make new slots, which
// replace the old ones at once.
type table struct {
	seed  maphash.Seed
	slots atomic.Pointer[[]slot] // a power of two of them, at most half of them taken
	count atomic.Int64

	mu sync.Mutex // who writes

	// added is told of each fact that is new, or says more than before, when it can be found; nil until somebody asks. It
	// is set and called under mu.
	added func(fact)
}

// A slot is free while its hash is 0. The fact is stored before the hash, so that who sees the hash finds the fact.
type slot struct {
	hash atomic.Uint64
	fact atomic.Pointer[fact]
}

// minSlots is how many slots an empty table has.
const minSlots = 64

func newTable() *table {
	t := &table{seed: maphash.MakeSeed()}
	slots := make([]slot, minSlots)
	t.slots.Store(&slots)
	return t
}

// hash is never 0. The issuer does not count: identifiers hardly ever repeat between issuers. The seed is random, so that
// nobody can choose identifiers that collide.
func (t *table) hash(kind Kind, id string) uint64 {
	return maphash.String(t.seed, id)*uint64(2*kind+1) | 1<<63
}

// find returns the fact of a name, or nil.
func (t *table) find(kind Kind, issuer, id string) *fact {
	slots := *t.slots.Load()
	_, f := probe(slots, t.hash(kind, id), kind, issuer, id)
	return f
}

// probe returns the slot of a name and the fact in it, or the free slot that it would take and nil.
func probe(slots []slot, hash uint64, kind Kind, issuer, id string) (*slot, *fact) {
	mask := uint64(len(slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &slots[i]
		switch s.hash.Load() {
		case 0:
			return s, nil
		case hash:
			if f := s.fact.Load(); f.id == id && f.kind == kind && f.issuer == issuer {
				return s, f
			}
		}
	}
}

// add merges facts into the table.
func (t *table) add(facts ...fact) {
	if len(facts) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	slots := *t.slots.Load()
	for _, f := range facts {
		if 2*(t.count.Load()+1) > int64(len(slots)) {
			slots = t.rebuild(slots, 2*len(slots), func(fact) bool { return true })
		}
		if known, more := t.put(slots, f); more && t.added != nil {
			t.added(known)
		}
	}
}

// notify has f told from now on.
func (t *table) notify(f func(fact)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.added = f
}

// put merges one fact into slots that have room for it. It returns what is known then, and whether that is more than
// before. The lock is held.
func (t *table) put(slots []slot, f fact) (fact, bool) {
	hash := t.hash(f.kind, f.id)
	s, known := probe(slots, hash, f.kind, f.issuer, f.id)
	switch {
	case known == nil:
		s.fact.Store(&f)
		s.hash.Store(hash)
		t.count.Add(1)
		return f, true
	case known.merge(f) != *known:
		merged := known.merge(f)
		s.fact.Store(&merged)
		return merged, true
	}
	return *known, false
}

// rebuild moves the facts that are to be kept into new slots, and puts those in place. The lock is held.
func (t *table) rebuild(old []slot, size int, keep func(fact) bool) []slot {
	slots := make([]slot, size)
	mask := uint64(size - 1)
	var kept int64
	for i := range old {
		f := old[i].fact.Load()
		if f == nil || !keep(*f) {
			continue
		}
		hash := old[i].hash.Load()
		at := hash & mask
		for slots[at].hash.Load() != 0 {
			at = (at + 1) & mask
		}
		slots[at].fact.Store(f)
		slots[at].hash.Store(hash)
		kept++
	}
	t.slots.Store(&slots)
	t.count.Store(kept)
	return slots
}

// purge drops the facts that have expired at the given second, and gives back the room that they took.
func (t *table) purge(now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slots := *t.slots.Load()
	expired := func(f fact) bool { return f.expires <= now }
	alive := 0
	for i := range slots {
		if f := slots[i].fact.Load(); f != nil && !expired(*f) {
			alive++
		}
	}
	if int64(alive) == t.count.Load() {
		return
	}
	size := minSlots
	for size < 2*(alive+1) {
		size *= 2
	}
	t.rebuild(slots, size, func(f fact) bool { return !expired(f) })
}

// each calls f with every fact.
func (t *table) each(f func(fact)) {
	slots := *t.slots.Load()
	for i := range slots {
		if known := slots[i].fact.Load(); known != nil {
			f(*known)
		}
	}
}

// len is the number of facts.
func (t *table) len() int { return int(t.count.Load()) }

package balancer

import (
	"hash/fnv"
	"math"
)

// PickFor chooses as Pick does, but the same address for the same key, at every gateway, as long as the address can be asked: by
// rendezvous hashing (highest random weight), in which each has its share of the keys by its weight. Of the keys of an address that
// cannot be asked, or has gone, each goes to the next in an order of its own, and the others stay where they are; so when one is new.
// Where the address is full, it is waited for. Pick chooses where no address is healthy.
func (p *Pool) PickFor(key uint64, tried []*Address) (Attempt, bool) {
	if p == nil || len(p.members) == 1 {
		return p.Pick(tried)
	}
	for {
		a, r := p.preferred(key, tried)
		switch {
		case r >= unhealthy:
			return p.Pick(tried)
		case r&full != 0:
			return Attempt{}, false
		case r == open && !a.proven.Load() && a.epoch.Load() > 0:
			if !a.inFlight.CompareAndSwap(0, 1) {
				continue // another request tries it
			}
		case !a.use():
			continue // others have filled it
		}
		if len(tried) == 0 {
			p.deposit()
		}
		return p.attempt(a), true
	}
}

// preferred is the address that a key has, of those of the lowest rank; one that is full counts as if it were not.
func (p *Pool) preferred(key uint64, tried []*Address) (best *member, lowest rank) {
	now := p.o.Now().UnixNano()
	lowest, highest := excluded, 0.0
	for i := range p.members {
		m := &p.members[i]
		r := rankAt(now, m.Address, tried) &^ full
		if r == onTrial && m.epoch.Load() == 0 {
			r = open // nothing speaks against it: a key has one address from the first requests on
		}
		if r > lowest || r >= unhealthy {
			continue
		}
		if score := m.score(key, now); r < lowest || score > highest {
			best, lowest, highest = m, r, score
		}
	}
	if best != nil && best.isFull() {
		lowest |= full
	}
	return best, lowest
}

// score is by how much a key prefers an address to others. Its logarithm makes shares be by the weights.
func (m *member) score(key uint64, now int64) float64 {
	random := (float64(mix(key^m.hash)>>11) + 0.5) / (1 << 53) // in (0, 1)
	return float64(m.weightAt(now)) / -math.Log(random)
}

// hashName is what a member's name is hashed to, which is the same in every process.
func hashName(name string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name))
	return mix(h.Sum64())
}

// mix has each bit of x change half of the bits of the result (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

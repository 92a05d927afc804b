package balancer

import "slices"

// Member is an address as one generation has it.
type Member struct {
	Name string // host:port, or what else tells it from the others; by it, it is known what is known of the address
	// Weight is its share of the requests, beside those of the others. 0: it is drained, and has no new ones; checks go on.
	Weight int
	To     any // how to ask there: what it is, is for who picks it
}

// member is a Member, and what is known of its address.
type member struct {
	Member
	*Address
	hash uint64 // of the name
}

// weighted are members that are picked at random by their weights, of which there is one at least.
type weighted struct {
	members    []member
	cumulative []int // the sums of the weights, up to each; nil where all are the same
	slowStart  bool  // some may be in it
	o          *Options
}

// newWeighted sorts the members of a pool, so that the drained are at the end, and has the others picked from. Where all are drained, none is.
func newWeighted(all []member, slowStart bool, o *Options) weighted {
	slices.SortStableFunc(all, func(a, b member) int { return drained(a) - drained(b) })
	n := len(all)
	for n > 0 && all[n-1].Weight == 0 {
		n--
	}
	if n == 0 {
		n = len(all)
	}
	w := weighted{members: all[:n], slowStart: slowStart, o: o}
	total, equal := 0, true
	for i := range w.members {
		m := &w.members[i]
		m.Weight = max(m.Weight, 1)
		equal = equal && m.Weight == w.members[0].Weight
		total += m.Weight
		w.cumulative = append(w.cumulative, total)
	}
	if equal {
		w.cumulative = nil
	}
	return w
}

func drained(m member) int {
	if m.Weight == 0 {
		return 1
	}
	return 0
}

// weightScale is what an address of the weight 1 weighs that is not in slow start.
const weightScale = 1000

// weightAt is what an address weighs, now in ns.
func (m *member) weightAt(now int64) int {
	return max(int(float64(m.Weight)*weightScale*m.share(now)), 1)
}

// maxRepicks is how often another is picked in place of an address in slow start.
const maxRepicks = 16

// pickTwo picks the indexes of two different members, of which there are two at least, by their weights (power of two choices).
func (w *weighted) pickTwo() (i, j int) {
	if n := len(w.members); w.cumulative == nil && !w.slowStart {
		i, j = w.o.Intn(n), w.o.Intn(n-1)
		if j >= i {
			j++
		}
		return i, j
	}
	i = w.pickRandom(-1)
	return i, w.pickRandom(i)
}

// pickRandom picks the index of a member, another than not. In place of one in slow start another is picked, as often as its share
// says.
func (w *weighted) pickRandom(not int) int {
	for range maxRepicks {
		i := w.pickByWeight(not)
		if !w.slowStart || w.members[i].began.Load() == 0 || w.o.Float() < w.members[i].share(w.o.Now().UnixNano()) {
			return i
		}
	}
	return w.pickByWeight(not)
}

// pickByWeight picks by the weights alone.
func (w *weighted) pickByWeight(not int) int {
	n := len(w.members)
	if w.cumulative == nil {
		if not < 0 {
			return w.o.Intn(n)
		}
		i := w.o.Intn(n - 1)
		if i >= not {
			i++
		}
		return i
	}
	total := w.cumulative[n-1]
	if not < 0 {
		i, _ := slices.BinarySearch(w.cumulative, w.o.Intn(total)+1)
		return i
	}
	weight := w.members[not].Weight
	at := w.o.Intn(total - weight)
	if at >= w.cumulative[not]-weight {
		at += weight
	}
	i, _ := slices.BinarySearch(w.cumulative, at+1)
	return i
}

// lessLoaded is the address that has fewer requests in flight for what it weighs (least requests), of two that were picked by their
// weights: the second where one more there would still be no more than what the first has. So chance decides where they differ by less than a
// request, and few requests go where most do. Between equal weights it is the one with fewer.
func (w *weighted) lessLoaded(a, b *member) *member {
	inA, inB := int(a.inFlight.Load()), int(b.inFlight.Load())
	if w.cumulative == nil && !w.slowStart {
		if inB < inA {
			return b
		}
		return a
	}
	if now := w.o.Now().UnixNano(); (inB+1)*a.weightAt(now) <= inA*b.weightAt(now) {
		return b
	}
	return a
}

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

// weighted are members that are drawn by their weights, of which there is one at least.
type weighted struct {
	members   []member
	ends      []int // the sums of the weights, up to each; nil where all are the same
	slowStart bool  // some may be in it
	o         *Options
}

// weigh sorts the members of a pool, so that the drained are at the end, and has the others drawn. Where all are drained, none is.
func weigh(all []member, slowStart bool, o *Options) weighted {
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
		w.ends = append(w.ends, total)
	}
	if equal {
		w.ends = nil
	}
	return w
}

func drained(m member) int {
	if m.Weight == 0 {
		return 1
	}
	return 0
}

// wholeShare is what an address of the weight 1 weighs that is not in slow start.
const wholeShare = 1000

// weightAt is what an address weighs, now in ns.
func (m *member) weightAt(now int64) int {
	return max(int(float64(m.Weight)*wholeShare*m.share(now)), 1)
}

// maxDraws is how often it is drawn again for addresses in slow start.
const maxDraws = 16

// two are the numbers of two different members, of which there are two at least, drawn by their weights.
func (w *weighted) two() (i, j int) {
	if n := len(w.members); w.ends == nil && !w.slowStart {
		i, j = w.o.Intn(n), w.o.Intn(n-1)
		if j >= i {
			j++
		}
		return i, j
	}
	i = w.draw(-1)
	return i, w.draw(i)
}

// draw draws the number of a member, another than not. One in slow start is drawn again, as often as its share says.
func (w *weighted) draw(not int) int {
	for range maxDraws {
		i := w.drawWhole(not)
		if !w.slowStart || w.members[i].began.Load() == 0 || w.o.Float() < w.members[i].share(w.o.Now().UnixNano()) {
			return i
		}
	}
	return w.drawWhole(not)
}

// drawWhole draws by the weights alone.
func (w *weighted) drawWhole(not int) int {
	n := len(w.members)
	if w.ends == nil {
		if not < 0 {
			return w.o.Intn(n)
		}
		i := w.o.Intn(n - 1)
		if i >= not {
			i++
		}
		return i
	}
	total := w.ends[n-1]
	if not < 0 {
		i, _ := slices.BinarySearch(w.ends, w.o.Intn(total)+1)
		return i
	}
	weight := w.members[not].Weight
	at := w.o.Intn(total - weight)
	if at >= w.ends[not]-weight {
		at += weight
	}
	i, _ := slices.BinarySearch(w.ends, at+1)
	return i
}

// lessBusy is the address that has fewer requests in flight for what it weighs, of two that were drawn by their weights: the second
// where one more there would still be no more than what the first has. So the draw decides where they differ by less than a
// request, and few requests go where most do. Between equal weights it is the one with fewer.
func (w *weighted) lessBusy(a, b *member) *member {
	inA, inB := int(a.inFlight.Load()), int(b.inFlight.Load())
	if w.ends == nil && !w.slowStart {
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

package password

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrBusy means that more passwords are waiting to be checked than the pool takes, and no network has more of them than this one.
var ErrBusy = errors.New("password: too many at once")

// A Client is whom a hash is computed for.
type Client struct {
	// Network is what it is counted by: its address, of IPv6 the /64, and for a known browser whose it is.
	Network string
	// Supernet is what many of its networks may be one client's of: the /24 of an address, of IPv6 the /48; for a known browser, whose
	// it is.
	Supernet string
	// Known says that it is a browser that its user signed in from, which waits in a lane of its own.
	Known bool
}

// queue hands a fixed number of workers to clients in two lanes, in turns where both wait: strangers cannot take what known
// browsers need, nor the other way round. Within a lane it is first come, first served, and when there is no place for one
// more, the last of the network with the most that wait gives its own up.
type queue struct {
	mu    sync.Mutex
	free  int // workers
	turn  int // the lane that is served next where both wait
	lanes [2]lane
}

// lane is where strangers wait, or known browsers. The queue's mu guards it.
type lane struct {
	places  int // how many may wait
	waiting []*waiter
}

type waiter struct {
	client Client
	result chan error // of one: nil with a worker, ErrBusy without
}

func newQueue(workers, waiting int) *queue {
	return &queue{free: workers, lanes: [2]lane{{places: waiting}, {places: waiting}}}
}

// acquire waits for a worker: ErrBusy where there is no place to wait, or somebody else needs it more.
func (q *queue) acquire(ctx context.Context, c Client) (release func(), err error) {
	l := &q.lanes[0]
	if c.Known {
		l = &q.lanes[1]
	}
	w := q.enter(l, c)
	select {
	case err = <-w.result:
	case <-ctx.Done():
		if q.withdraw(l, w) {
			return nil, ctx.Err()
		}
		err = <-w.result // it was decided at the same moment
	}
	if err != nil {
		return nil, err
	}
	return q.release, nil
}

// enter takes a worker, or a place to wait for one.
func (q *queue) enter(l *lane, c Client) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &waiter{client: c, result: make(chan error, 1)}
	if q.free > 0 {
		q.free--
		w.result <- nil
		return w
	}
	l.waiting = append(l.waiting, w)
	if len(l.waiting) > l.places {
		last := l.victim()
		l.waiting[last].result <- ErrBusy
		l.waiting = slices.Delete(l.waiting, last, last+1)
	}
	return w
}

// victim is the index of whom a full lane evicts: the last that came of the network with the most that wait, in the supernet with the
// most. Of equals it is the latest: who comes to a full lane displaces only who has more.
func (l *lane) victim() int {
	supernets, networks := map[string]int{}, map[Client]int{}
	for _, w := range l.waiting {
		supernets[w.client.Supernet]++
		networks[w.client]++
	}
	last := 0
	for i, w := range l.waiting {
		most := l.waiting[last].client
		if cmp.Or(cmp.Compare(supernets[w.client.Supernet], supernets[most.Supernet]), cmp.Compare(networks[w.client], networks[most])) >= 0 {
			last = i
		}
	}
	return last
}

// withdraw gives a place up, and reports whether it was still waiting there.
func (q *queue) withdraw(l *lane, w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(l.waiting, w)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// release hands the worker to whoever waits next.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	next := &q.lanes[q.turn]
	if len(next.waiting) == 0 {
		next = &q.lanes[1-q.turn]
	} else {
		q.turn = 1 - q.turn
	}
	if len(next.waiting) == 0 {
		q.free++
		return
	}
	next.waiting[0].result <- nil
	next.waiting = slices.Delete(next.waiting, 0, 1)
}

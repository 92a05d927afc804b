package password

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrBusy means that more passwords are waiting to be checked than the pool takes, or takes of one network.
var ErrBusy = errors.New("password: too many at once")

// A Client is whom a hash is computed for.
type Client struct {
	// Network is its address, of IPv6 the /64, and for a known browser whose it is; "" is somebody who is not bounded, such as an administrator.
	Network string
	// Known says that it is a browser that its user signed in from, which waits in a lane of its own.
	Known bool
}

// queue hands a fixed number of workers to clients in two lanes, in turns where both wait: strangers cannot take what known
// browsers need, nor the other way round. Within a lane it is first come, first served, but a network has at most half of the
// places, and when all are taken, the network with the most that wait gives its last to one that has none.
type queue struct {
	mu    sync.Mutex
	free  int // workers
	turn  int // the lane that is served next where both wait
	lanes [2]lane
}

// lane is where strangers wait, or known browsers. The queue's mu guards it.
type lane struct {
	places  int            // how many may wait
	most    int            // how many of a network may be there, working or waiting
	inside  map[string]int // those there are
	waiting []*waiter
}

type waiter struct {
	network string
	result  chan error // of one: nil with a worker, ErrBusy without
}

func newQueue(workers, waiting int) *queue {
	q := &queue{free: workers}
	for i := range q.lanes {
		q.lanes[i] = lane{places: waiting, most: max(1, (workers+waiting)/2), inside: map[string]int{}}
	}
	return q
}

// acquire waits for a worker: ErrBusy where there is no place to wait, or somebody else needs it more.
func (q *queue) acquire(ctx context.Context, c Client) (release func(), err error) {
	l := &q.lanes[0]
	if c.Known {
		l = &q.lanes[1]
	}
	w, err := q.enter(l, c.Network)
	if err != nil {
		return nil, err
	}
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
	return func() { q.release(l, w) }, nil
}

// enter takes a worker, or a place to wait for one.
func (q *queue) enter(l *lane, network string) (*waiter, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if network != "" && l.inside[network] >= l.most {
		return nil, ErrBusy
	}
	w := &waiter{network: network, result: make(chan error, 1)}
	switch {
	case q.free > 0:
		q.free--
		w.result <- nil
	case len(l.waiting) < l.places || l.inside[network] == 0 && l.displace():
		l.waiting = append(l.waiting, w)
	default:
		return nil, ErrBusy
	}
	l.inside[network]++
	return w, nil
}

// displace makes room: the network with the most that wait gives its last, where it has another.
func (l *lane) displace() bool {
	waiting := map[string]int{}
	last := -1
	for i, w := range l.waiting {
		waiting[w.network]++
		if last < 0 || waiting[w.network] >= waiting[l.waiting[last].network] {
			last = i
		}
	}
	if last < 0 || waiting[l.waiting[last].network] < 2 {
		return false
	}
	w := l.waiting[last]
	l.remove(last)
	w.result <- ErrBusy
	return true
}

// withdraw gives a place up, and reports whether it was still waiting there.
func (q *queue) withdraw(l *lane, w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(l.waiting, w)
	if i < 0 {
		return false
	}
	l.remove(i)
	return true
}

func (l *lane) remove(i int) {
	l.leave(l.waiting[i].network)
	l.waiting = slices.Delete(l.waiting, i, i+1)
}

func (l *lane) leave(network string) {
	if l.inside[network]--; l.inside[network] <= 0 {
		delete(l.inside, network)
	}
}

// release hands the worker to whoever waits next.
func (q *queue) release(l *lane, w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.leave(w.network)
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

package password

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
)

// awaitWaiting waits until so many wait in a lane.
func (p *Pool) awaitWaiting(t *testing.T, lane, want int) {
	t.Helper()
	for {
		p.queue.mu.Lock()
		n := len(p.queue.lanes[lane].waiting)
		p.queue.mu.Unlock()
		if n == want {
			return
		}
		if t.Context().Err() != nil {
			t.Fatalf("%d wait, want %d", n, want)
		}
		runtime.Gosched()
	}
}

// ended is how somebody's wait ended.
type ended struct {
	name    string
	release func()
	err     error
}

// crowd is people who wait for the workers of a pool.
type crowd struct {
	t     *testing.T
	pool  *Pool
	ended chan ended
}

func (c *crowd) come(name string, client Client) {
	go func() {
		release, err := c.pool.queue.acquire(context.Background(), client)
		c.ended <- ended{name, release, err}
	}()
}

// next is whose wait ends next.
func (c *crowd) next() ended {
	c.t.Helper()
	select {
	case e := <-c.ended:
		return e
	case <-c.t.Context().Done():
		c.t.Fatal("nobody's turn comes")
		return ended{}
	}
}

func TestTheNetworkWithTheMostMakesRoom(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, 4)
	c := &crowd{t, p, make(chan ended, 100)}
	c.come("working", Client{Network: "x"})
	working := c.next()
	for i, network := range []string{"a", "b", "a", "b"} {
		c.come(fmt.Sprint(network, i), Client{Network: network})
		p.awaitWaiting(t, 0, i+1)
	}
	c.come("c", Client{Network: "c"})
	if e := c.next(); e.name != "b3" || !errors.Is(e.err, ErrBusy) {
		t.Errorf("%s made room: %v", e.name, e.err)
	}
	c.come("d", Client{Network: "d"})
	if e := c.next(); e.name != "a2" || !errors.Is(e.err, ErrBusy) {
		t.Errorf("%s made room: %v", e.name, e.err)
	}
	p.awaitWaiting(t, 0, 4)
	if _, err := p.queue.acquire(t.Context(), Client{Network: "e"}); !errors.Is(err, ErrBusy) {
		t.Errorf("where each has one: %v", err)
	}
	working.release()
	for _, want := range []string{"a0", "b1", "c", "d"} {
		e := c.next()
		if e.name != want || e.err != nil {
			t.Fatalf("%s's turn (%v), want %s", e.name, e.err, want)
		}
		e.release()
	}
}

func TestManyNetworksOfOneClientAreOne(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, 4)
	c := &crowd{t, p, make(chan ended, 100)}
	c.come("working", Client{Network: "x"})
	working := c.next()
	for i := range 4 {
		c.come(fmt.Sprint("a", i), Client{Network: fmt.Sprint("a", i), Supernet: "a"})
		p.awaitWaiting(t, 0, i+1)
	}
	c.come("b", Client{Network: "b0", Supernet: "b"})
	if e := c.next(); e.name != "a3" || !errors.Is(e.err, ErrBusy) {
		t.Errorf("%s made room: %v", e.name, e.err)
	}
	if _, err := p.queue.acquire(t.Context(), Client{Network: "a4", Supernet: "a"}); !errors.Is(err, ErrBusy) {
		t.Errorf("one more of the same: %v", err)
	}
	working.release()
	for _, want := range []string{"a0", "a1", "a2", "b"} {
		e := c.next()
		if e.name != want || e.err != nil {
			t.Fatalf("%s's turn (%v), want %s", e.name, e.err, want)
		}
		e.release()
	}
	if p.queue.free != 1 {
		t.Errorf("%d free", p.queue.free)
	}
}

func TestKnownBrowsersHaveAShareOfTheirOwn(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, 4)
	c := &crowd{t, p, make(chan ended, 100)}
	c.come("working", Client{Network: "x"})
	working := c.next()
	for i := range 4 {
		c.come(fmt.Sprint("stranger", i), Client{Network: fmt.Sprint(i)})
		p.awaitWaiting(t, 0, i+1)
	}
	if _, err := p.queue.acquire(t.Context(), Client{Network: "y"}); !errors.Is(err, ErrBusy) {
		t.Errorf("one stranger too many: %v", err)
	}
	for i := range 2 {
		c.come(fmt.Sprint("known", i), Client{Network: "0", Known: true})
		p.awaitWaiting(t, 1, i+1)
	}
	working.release()
	for _, want := range []string{"stranger0", "known0", "stranger1", "known1", "stranger2", "stranger3"} {
		e := c.next()
		if e.name != want || e.err != nil {
			t.Fatalf("%s's turn (%v), want %s", e.name, e.err, want)
		}
		e.release()
	}
}

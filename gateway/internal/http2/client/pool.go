package client

import (
	"context"
	"slices"
	"sync"
	"time"

	h1 "github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// Pool are connections to upstreams, each of which serves as many requests at once as its upstream lets it. It keeps those alone whose
// key was added. Safe for concurrent use.
type Pool struct {
	mu     sync.Mutex
	groups map[h1.Key]*group // guarded by mu; nil once it is closed
}

// group are the connections of one key. It is guarded by the pool's mu.
type group struct {
	conns      []*conn
	dialling   []*dialling
	maxStreams int // requests at once on a connection, as the last one was told
}

// dialling is a connection that is being made, for who asked for it and who wait beside.
type dialling struct {
	waiting int           // guarded by the pool's mu
	done    chan struct{} // closed when conn and err are set
	conn    *conn         // with a place for who asked for it
	err     error
}

// NewPool makes a pool.
func NewPool() *Pool { return &Pool{groups: map[h1.Key]*group{}} }

// Add has connections of a key kept from now on.
func (p *Pool) Add(key h1.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.groups != nil && p.groups[key] == nil {
		p.groups[key] = &group{maxStreams: initialMaxStreams}
	}
}

// Retire has the connections of keys that are not needed end with the requests that are under way on them.
func (p *Pool) Retire(needed func(h1.Key) bool) {
	var old []*conn
	p.mu.Lock()
	for key, g := range p.groups {
		if !needed(key) {
			old = append(old, g.conns...)
			delete(p.groups, key)
		}
	}
	p.mu.Unlock()
	for _, c := range old {
		c.mu.Lock()
		c.drain()
		c.mu.Unlock()
	}
}

// Close has all connections end with the requests that are under way on them, and keeps none from now on.
func (p *Pool) Close() {
	p.Retire(func(h1.Key) bool { return false })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups = nil
}

// Kept is how many connections are kept that are not known to have ended.
func (p *Pool) Kept() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.groups {
		g.forget()
		n += len(g.conns)
	}
	return n
}

// forget leaves out the connections that take no more requests.
func (g *group) forget() { g.conns = slices.DeleteFunc(g.conns, (*conn).isOver) }

// maxOpens is how many connections may end, one after the other, before a request has begun on them.
const maxOpens = 4

// Send sends a request to the address of key, on a connection that has room for it or on a new one, which may take so long to come about,
// and returns when the answer's head was read. What it returns is to be closed. The error is a net.OpError whose Op is "dial" where
// there was no connection, or nobody who speaks HTTP/2, an [UnprocessedError], a [h1.ClosedError], a [ResetError], the context's, what
// the body's reading came to, or says what is wrong with the answer.
func (p *Pool) Send(ctx context.Context, key h1.Key, dialTimeout time.Duration, r *Request) (*Exchange, error) {
	for range maxOpens {
		c, err := p.acquire(ctx, key, dialTimeout, r.Fresh)
		if err != nil {
			return nil, err
		}
		x, ok := c.open(r)
		if !ok {
			continue
		}
		if err := x.run(ctx); err != nil {
			return nil, err
		}
		return x, nil
	}
	return nil, &UnprocessedError{Err: errGoAway, Whole: true}
}

// acquire is a connection with a place for a request.
func (p *Pool) acquire(ctx context.Context, key h1.Key, timeout time.Duration, fresh bool) (*conn, error) {
	p.mu.Lock()
	g := p.groups[key]
	if g == nil || key.IdleTimeout < 0 {
		p.mu.Unlock()
		return dial(ctx, key, timeout, false)
	}
	for !fresh {
		g.forget()
		if i := slices.IndexFunc(g.conns, (*conn).reserve); i >= 0 {
			c := g.conns[i]
			p.mu.Unlock()
			return c, nil
		}
		i := slices.IndexFunc(g.dialling, func(d *dialling) bool { return d.waiting < g.maxStreams })
		if i < 0 {
			break
		}
		d := g.dialling[i]
		d.waiting++
		p.mu.Unlock()
		if err := d.wait(ctx); err != nil {
			return nil, err
		}
		p.mu.Lock()
	}
	d := &dialling{waiting: 1, done: make(chan struct{})}
	g.dialling = append(g.dialling, d)
	p.mu.Unlock()
	// Others wait for it, too, who do not go away when this one does.
	go p.dial(context.WithoutCancel(ctx), key, g, timeout, d)
	if err := d.wait(ctx); err != nil {
		go d.abandon()
		return nil, err
	}
	return d.conn, nil
}

// dial makes a connection of a group.
func (p *Pool) dial(ctx context.Context, key h1.Key, g *group, timeout time.Duration, d *dialling) {
	d.conn, d.err = dial(ctx, key, timeout, true)
	p.mu.Lock()
	defer p.mu.Unlock()
	g.dialling = slices.DeleteFunc(g.dialling, func(other *dialling) bool { return other == d })
	if d.conn != nil {
		c := d.conn
		c.mu.Lock()
		g.maxStreams = int(max(c.maxStreams, 1))
		if p.groups[key] != g { // it was retired meanwhile
			c.drain()
		}
		c.mu.Unlock()
		g.conns = append(g.conns, c)
	}
	close(d.done)
}

// wait waits until the connection is there.
func (d *dialling) wait(ctx context.Context) error {
	select {
	case <-d.done:
		return d.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// abandon gives the place back that nobody takes.
func (d *dialling) abandon() {
	if <-d.done; d.conn != nil {
		c := d.conn
		c.mu.Lock()
		defer c.mu.Unlock()
		c.reserved--
		c.endIdle()
	}
}

// reserve reserves a place for a request; false where there is none.
func (c *conn) reserve() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.draining || uint32(len(c.exchanges)+c.reserved) >= c.maxStreams {
		return false
	}
	c.reserved++
	return true
}

// isOver reports whether the connection takes no more requests.
func (c *conn) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil || c.draining
}

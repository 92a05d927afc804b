package client

import (
	"slices"
	"sync"
	"time"
)

// sweepInterval is how often idle connections are looked through, at the least.
const sweepInterval = 5 * time.Second

// Pool keeps connections that are idle. It keeps those alone whose key was added. Safe for concurrent use.
type Pool struct {
	maxIdlePerKey, maxIdle int // how many it keeps; written before it is used

	mu    sync.Mutex
	idle  map[Key][]*conn // the one that was kept last at the end; nil once it is closed; guarded by mu
	count int             // of all kept; guarded by mu
	sweep *time.Timer     // guarded by mu; nil while nothing is kept
}

// NewPool makes a pool that keeps so many idle connections of a key, and in all.
func NewPool(perKey, all int) *Pool {
	return &Pool{maxIdlePerKey: perKey, maxIdle: all, idle: map[Key][]*conn{}}
}

// Add has connections of a key kept from now on.
func (p *Pool) Add(key Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.idle[key]; !known && p.idle != nil {
		p.idle[key] = nil
	}
}

// Retire closes idle connections of keys that are not needed, and keeps no more of them. Requests under way go on.
func (p *Pool) Retire(needed func(Key) bool) {
	var old []*conn
	p.mu.Lock()
	for key, kept := range p.idle {
		if !needed(key) {
			old = append(old, kept...)
			p.count -= len(kept)
			delete(p.idle, key)
		}
	}
	p.stopIfEmpty()
	p.mu.Unlock()
	closeAll(old)
}

// Close closes idle connections, and keeps none from now on.
func (p *Pool) Close() {
	p.Retire(func(Key) bool { return false })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = nil
}

// IdleCount is how many idle connections are kept.
func (p *Pool) IdleCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// get takes an idle connection that can be used; nil where there is none.
func (p *Pool) get(key Key) *conn {
	for {
		c := p.last(key)
		if c == nil {
			return nil
		}
		if c.isReusable() && (key.IdleTimeout == 0 || time.Since(c.idleSince) < key.IdleTimeout) {
			return c
		}
		c.close()
	}
}

// last takes the connection that was kept last.
func (p *Pool) last(key Key) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.idle[key]
	if len(kept) == 0 {
		return nil
	}
	c := kept[len(kept)-1]
	kept[len(kept)-1] = nil
	p.idle[key] = kept[:len(kept)-1]
	p.count--
	return c
}

// put keeps a connection, or closes it.
func (p *Pool) put(key Key, c *conn) {
	c.release()
	c.reused, c.idleSince = true, time.Now()
	if !p.keep(key, c) {
		c.close()
	}
}

func (p *Pool) keep(key Key, c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, known := p.idle[key]
	if !known || key.IdleTimeout < 0 || len(kept) >= p.maxIdlePerKey || p.count >= p.maxIdle {
		return false
	}
	p.idle[key] = append(kept, c)
	if p.count++; p.sweep == nil {
		first := sweepInterval
		if key.IdleTimeout > 0 {
			first = min(first, key.IdleTimeout)
		}
		p.sweep = time.AfterFunc(first, p.closeIdle)
	}
	return true
}

// stopIfEmpty ends the timer where nothing is kept. p.mu is held.
func (p *Pool) stopIfEmpty() {
	if p.count == 0 && p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
}

// closeIdle closes connections that have been idle for too long, or are closed or readable.
func (p *Pool) closeIdle() {
	var old []*conn
	p.mu.Lock()
	if p.sweep == nil { // what it was for has gone meanwhile
		p.mu.Unlock()
		return
	}
	now, next := time.Now(), sweepInterval
	for key, kept := range p.idle {
		p.idle[key] = slices.DeleteFunc(kept, func(c *conn) bool {
			left := key.IdleTimeout - now.Sub(c.idleSince)
			if key.IdleTimeout > 0 && left <= 0 || !c.isReusable() {
				old = append(old, c)
				return true
			}
			if key.IdleTimeout > 0 {
				next = min(next, left)
			}
			return false
		})
	}
	p.count -= len(old)
	p.sweep.Reset(next)
	p.stopIfEmpty()
	p.mu.Unlock()
	closeAll(old)
}

func closeAll(conns []*conn) {
	for _, c := range conns {
		c.close()
	}
}

package client

import (
	"slices"
	"sync"
	"time"
)

// sweepInterval is how often kept connections are looked through, at the least.
const sweepInterval = 5 * time.Second

// Pool keeps connections that are idle. It keeps those alone whose key was added. Safe for concurrent use.
type Pool struct {
	perKey, all int // how many it keeps; written before it is used

	mu    sync.Mutex
	kept  map[Key][]*conn // the one that was kept last at the end; nil once it is closed; guarded by mu
	count int             // of all kept; guarded by mu
	sweep *time.Timer     // guarded by mu; nil while nothing is kept
}

// NewPool makes a pool that keeps so many idle connections of a key, and in all.
func NewPool(perKey, all int) *Pool {
	return &Pool{perKey: perKey, all: all, kept: map[Key][]*conn{}}
}

// Add has connections of a key kept from now on.
func (p *Pool) Add(key Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.kept[key]; !known && p.kept != nil {
		p.kept[key] = nil
	}
}

// Retire closes what is kept of keys that are not needed, and keeps no more of them. Requests under way go on.
func (p *Pool) Retire(needed func(Key) bool) {
	var old []*conn
	p.mu.Lock()
	for key, kept := range p.kept {
		if !needed(key) {
			old = append(old, kept...)
			p.count -= len(kept)
			delete(p.kept, key)
		}
	}
	p.stopIfEmpty()
	p.mu.Unlock()
	closeAll(old)
}

// Close closes what is kept, and keeps nothing from now on.
func (p *Pool) Close() {
	p.Retire(func(Key) bool { return false })
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kept = nil
}

// Kept is how many connections are kept.
func (p *Pool) Kept() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// get takes a kept connection that can be used; nil where there is none.
func (p *Pool) get(key Key) *conn {
	for {
		c := p.last(key)
		if c == nil {
			return nil
		}
		if c.isQuiet() && (key.Idle == 0 || time.Since(c.keptAt) < key.Idle) {
			return c
		}
		c.close()
	}
}

// last takes the connection that was kept last.
func (p *Pool) last(key Key) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.kept[key]
	if len(kept) == 0 {
		return nil
	}
	c := kept[len(kept)-1]
	kept[len(kept)-1] = nil
	p.kept[key] = kept[:len(kept)-1]
	p.count--
	return c
}

// put keeps a connection, or closes it.
func (p *Pool) put(key Key, c *conn) {
	c.release()
	c.kept, c.keptAt = true, time.Now()
	if !p.keep(key, c) {
		c.close()
	}
}

func (p *Pool) keep(key Key, c *conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, known := p.kept[key]
	if !known || key.Idle < 0 || len(kept) >= p.perKey || p.count >= p.all {
		return false
	}
	p.kept[key] = append(kept, c)
	if p.count++; p.sweep == nil {
		first := sweepInterval
		if key.Idle > 0 {
			first = min(first, key.Idle)
		}
		p.sweep = time.AfterFunc(first, p.look)
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

// look closes kept connections that have been idle for too long, or are closed or readable.
func (p *Pool) look() {
	var old []*conn
	p.mu.Lock()
	if p.sweep == nil { // what it was for has gone meanwhile
		p.mu.Unlock()
		return
	}
	now, next := time.Now(), sweepInterval
	for key, kept := range p.kept {
		p.kept[key] = slices.DeleteFunc(kept, func(c *conn) bool {
			left := key.Idle - now.Sub(c.keptAt)
			if key.Idle > 0 && left <= 0 || !c.isQuiet() {
				old = append(old, c)
				return true
			}
			if key.Idle > 0 {
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

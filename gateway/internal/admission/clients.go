package admission

import (
	"errors"
	"sync"
)

// Why a request is refused before any upstream is asked.
var (
	ErrClient = errors.New("admission: too many requests of one client are under way")
	ErrAll    = errors.New("admission: too many requests are under way")
)

// Clients bounds what is under way at all upstreams together, that which waits included. Safe for concurrent use.
type Clients struct {
	all, each int // written before it is used; 0 for any number

	mu       sync.Mutex
	underWay int            // guarded by mu
	byClient map[Client]int // none is 0; guarded by mu
	ofClient uint64         // refused with ErrClient; guarded by mu
	ofAll    uint64         // refused with ErrAll; guarded by mu
}

// NewClients bounds what all clients, and what one of them has under way. 0 is any number.
func NewClients(all, each int) *Clients {
	return &Clients{all: all, each: each, byClient: map[Client]int{}}
}

// Enter counts a request until Leave. The error is ErrClient or ErrAll.
func (c *Clients) Enter(who Client) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.each > 0 && c.byClient[who] >= c.each:
		c.ofClient++
		return ErrClient
	case c.all > 0 && c.underWay >= c.all:
		c.ofAll++
		return ErrAll
	}
	c.underWay++
	c.byClient[who]++
	return nil
}

// Leave is called once for each Enter that succeeded.
func (c *Clients) Leave(who Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.underWay--
	if c.byClient[who]--; c.byClient[who] == 0 {
		delete(c.byClient, who)
	}
}

// ClientsStatus is what is counted of all upstreams together.
type ClientsStatus struct {
	UnderWay  int `json:"in_flight"`
	Most      int `json:"most"`       // 0 for any number
	PerClient int `json:"per_client"` // likewise
	// Refused, because one client, or all of them, had as many as they may.
	RefusedClient uint64 `json:"refused_client"`
	RefusedAll    uint64 `json:"refused"`
}

// Status tells the counts.
func (c *Clients) Status() ClientsStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ClientsStatus{UnderWay: c.underWay, Most: c.all, PerClient: c.each, RefusedClient: c.ofClient, RefusedAll: c.ofAll}
}

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

// Clients bounds what is in flight at all upstreams together, that which waits included. Safe for concurrent use.
type Clients struct {
	max, perClient int // written before it is used; 0 for any number

	mu            sync.Mutex
	inFlight      int            // guarded by mu
	byClient      map[Client]int // none is 0; guarded by mu
	refusedClient uint64         // refused with ErrClient; guarded by mu
	refusedAll    uint64         // refused with ErrAll; guarded by mu
}

// NewClients bounds what all clients, and what one of them has in flight. 0 is any number.
func NewClients(all, each int) *Clients {
	return &Clients{max: all, perClient: each, byClient: map[Client]int{}}
}

// Enter counts a request until Leave. The error is ErrClient or ErrAll.
func (c *Clients) Enter(client Client) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.perClient > 0 && c.byClient[client] >= c.perClient:
		c.refusedClient++
		return ErrClient
	case c.max > 0 && c.inFlight >= c.max:
		c.refusedAll++
		return ErrAll
	}
	c.inFlight++
	c.byClient[client]++
	return nil
}

// Leave is called once for each Enter that succeeded.
func (c *Clients) Leave(client Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inFlight--
	if c.byClient[client]--; c.byClient[client] == 0 {
		delete(c.byClient, client)
	}
}

// ClientsStatus is what is counted of all upstreams together.
type ClientsStatus struct {
	InFlight  int `json:"in_flight"`
	Max       int `json:"most"`       // 0 for any number
	PerClient int `json:"per_client"` // likewise
	// Refused, because one client, or all of them, had as many as they may.
	RefusedClient uint64 `json:"refused_client"`
	RefusedAll    uint64 `json:"refused"`
}

// Status tells the counts.
func (c *Clients) Status() ClientsStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return ClientsStatus{InFlight: c.inFlight, Max: c.max, PerClient: c.perClient, RefusedClient: c.refusedClient, RefusedAll: c.refusedAll}
}

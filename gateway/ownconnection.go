package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/viloforge/vilogate/gateway/internal/admission"
	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
	"github.com/viloforge/vilogate/policies/request"
)

// Why a client may have no connection to an upstream of its own: as many clients as may
// have one, or as much of them as one network may be.
var (
	errTooManyOwn          = errors.New("gateway: too many connections to upstreams that are one client's (limits.connection_auth)")
	errTooManyOwnOfNetwork = errors.New("gateway: too many connections to upstreams that are one client's, all of one network (a quarter of limits.connection_auth, or of the connections of the upstream)")
)

// ownConnections bounds the connections to upstreams that are one client's, and those of
// them that are of one client network (request.ClientNetwork). Safe for concurrent use.
type ownConnections struct {
	most int // written before there are connections

	mu        sync.Mutex
	count     int                  // guarded by mu
	byNetwork map[netip.Prefix]int // none is 0; guarded by mu
	byBoth    map[ownKey]int       // by upstream as well; none is 0; guarded by mu
}

// ownKey is a network at an upstream.
type ownKey struct {
	upstream string
	network  netip.Prefix
}

// add counts one more connection of a network, which may have a quarter of all, and of the
// connections to an upstream where they are limited to so many (0: they are not), and one
// in any case; those of unknown addresses are one network. The error is errTooManyOwn or
// errTooManyOwnOfNetwork.
func (o *ownConnections) add(at ownKey, limit int) error {
	network := at.network
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.count >= o.most:
		return errTooManyOwn
	case o.byNetwork[network] >= max(o.most/4, 1), limit > 0 && o.byBoth[at] >= max(limit/4, 1):
		return errTooManyOwnOfNetwork
	}
	if o.byNetwork == nil {
		o.byNetwork, o.byBoth = map[netip.Prefix]int{}, map[ownKey]int{}
	}
	o.count++
	o.byNetwork[network]++
	o.byBoth[at]++
	return nil
}

// remove is called once for each add that succeeded.
func (o *ownConnections) remove(at ownKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count--
	if o.byNetwork[at.network]--; o.byNetwork[at.network] == 0 {
		delete(o.byNetwork, at.network)
	}
	if o.byBoth[at]--; o.byBoth[at] == 0 {
		delete(o.byBoth, at)
	}
}

// clientConn is a client's connection of HTTP/1, as far as logins that are bound to
// connections (NTLM; Negotiate, RFC 4559; CredSSP) are about it: what an upstream's connection
// is logged in as, this one is, and no other. Safe for concurrent use, though net/http
// serves one request of it at a time.
type clientConn struct {
	all    *ownConnections
	cancel context.CancelFunc // cancels the request that is under way on it

	mu     sync.Mutex
	closed bool                // guarded by mu
	own    map[string]*ownConn // by the upstream's name; guarded by mu
}

// ownConn is the connection to one upstream that one client's connection has to itself.
// It is opened when it is first used, and again where the upstream closes it, which ends
// the login too.
type ownConn struct {
	upstream   string
	client     *clientConn
	gate       *admission.Gate  // of the upstream
	network    netip.Prefix     // of the client
	attempt    balancer.Attempt // at the address where it leads, however many the upstream has; written under client.mu
	owner      string           // whom the gateway knew when it was made; "" for nobody
	connection connections      // of one connection at most, since a client's connection has one request at a time
}

// find is the connection to an upstream, nil where there is none. One that was made
// for somebody else, or to an address that the upstream has no longer, is closed.
func (c *clientConn) find(u *upstream, owner string) *ownConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usable(u, owner)
}

// acquire is the connection to an upstream, made where there is none, for a client at
// this address, with this affinity. The error is errTooManyOwn, errTooManyOwnOfNetwork, errUnresolved
// or an admission.RefusedError.
func (c *clientConn) acquire(u *upstream, owner string, address netip.Addr, affinity uint64) (*ownConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if own := c.usable(u, owner); own != nil {
		return own, nil
	}
	if c.closed {
		return nil, errTooManyOwn // nobody is there to hear it
	}
	at, pool := ownKey{u.Name, request.ClientNetwork(address)}, u.pool.Load()
	if pool == nil {
		return nil, errUnresolved
	}
	if err := c.all.add(at, u.Limits.Connections*pool.Len()); err != nil {
		return nil, err
	}
	attempt, ok := pick(pool, affinity, nil)
	if !ok || !attempt.Hold() { // a connection is no request in flight
		c.all.remove(at)
		u.gate.Dispatch() // who found no room while this was tried
		return nil, &admission.RefusedError{Upstream: u.Name, Reason: admission.QueueFull, Text: "no address has room for a connection of this client's own (connections)"}
	}
	own := &ownConn{
		upstream: u.Name, client: c, gate: u.gate, network: at.network, attempt: attempt, owner: owner,
		connection: connections{Pool: client.NewPool(1, 1)},
	}
	if c.own == nil {
		c.own = map[string]*ownConn{}
	}
	c.own[u.Name] = own
	return own, nil
}

// usable is the connection to an upstream, where it can go on being used. c.mu is held.
func (c *clientConn) usable(u *upstream, owner string) *ownConn {
	own := c.own[u.Name]
	if own == nil {
		return nil
	}
	if own.owner == owner && own.leadsTo(u) {
		return own
	}
	c.drop(own)
	return nil
}

// leadsTo reports whether it leads to what is an address of u, over the same TLS.
func (o *ownConn) leadsTo(u *upstream) bool {
	at, ok := u.pool.Load().Find(o.attempt.Address().Name()).(*endpoint)
	return ok && at.key.TLS == endpointOf(o.attempt).key.TLS
}

// drop closes a connection, or has it closed when the request ends that is under way on
// it. c.mu is held.
func (c *clientConn) drop(own *ownConn) {
	delete(c.own, own.upstream)
	own.attempt.Release()
	own.gate.Dispatch()
	c.all.remove(ownKey{own.upstream, own.network})
	own.connection.Close()
}

// close is called when the client's connection is closed, or speaks HTTP no longer.
func (c *clientConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, own := range c.own {
		c.drop(own)
	}
}

// moveTo has the connection lead to another address, where none could be made to the one
// before; false where none may be.
func (o *ownConn) moveTo(next balancer.Attempt) bool {
	if !next.Hold() { // a connection is no request in flight
		return false
	}
	o.client.mu.Lock()
	defer o.client.mu.Unlock()
	if o.client.own[o.upstream] == o { // else what it held was given up
		o.attempt.Release()
	} else {
		next.Release()
	}
	o.attempt = next
	return true
}

// ownSender sends requests to an upstream on the connection to it that is one client's.
type ownSender struct {
	*ownConn
	attempts *attempts // whose slot the request has
}

// Take implements admission.Taker: it has its connection.
func (o ownSender) Take() bool { return true }

// send implements sender. Where dialling failed, the upstream's other addresses are tried.
func (o ownSender) send(ctx context.Context, out *outgoing) (*upstreamAnswer, error) {
	to := o.attempts.upstream
	if err := o.attempts.slot.take(ctx, o); err != nil {
		return nil, err
	}
	var tried []*balancer.Address
	for {
		at := *endpointOf(o.attempt)
		at.key.IdleTimeout = 0 // it ends with the client's
		o.connection.Add(at.key)
		x, err := o.connection.sendTo(ctx, to, &at, to.dialTimeout(len(tried)), out)
		sent := observe(ctx, o.attempt, out, x, err)
		if err == nil {
			o.attempts.slot.answered(x.Head.Status)
			return x, nil
		}
		err = fmt.Errorf("upstream %s: %w", o.upstream, err)
		tried = append(tried, o.attempt.Address())
		next, ok := balancer.Attempt{}, false
		if sent == neverSent && !to.NoRetry && ctx.Err() == nil {
			next, ok = pick(to.pool.Load(), o.attempts.affinity, tried)
		}
		if !ok || !o.moveTo(next) {
			if !isClientError(ctx, out) {
				o.attempts.slot.failed()
			}
			return nil, err
		}
		to.pool.Load().CountRetry()
	}
}

type clientConnKey struct{}

// clientConnOf is the client's connection that a request came over; nil where that is
// HTTP/2, which many share before some proxies and in which requests overlap.
func clientConnOf(ctx context.Context) *clientConn {
	c, _ := ctx.Value(clientConnKey{}).(*clientConn)
	return c
}

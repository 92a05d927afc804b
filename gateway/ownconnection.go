package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/policies/request"
)

// Why a client may have no connection to an upstream of its own: as many clients as may
// have one, or as much of them as one network may be.
var (
	errTooManyOwn          = errors.New("gateway: too many connections to upstreams that are one client's (limits.connection_auth)")
	errTooManyOwnOfNetwork = errors.New("gateway: too many connections to upstreams that are one client's, all of one network (a quarter of limits.connection_auth)")
)

// ownConnections bounds the connections to upstreams that are one client's, and those of
// them that are of one client network (request.ClientNetwork). Safe for concurrent use.
type ownConnections struct {
	most int // written before there are connections

	mu        sync.Mutex
	count     int                  // guarded by mu
	byNetwork map[netip.Prefix]int // none is 0; guarded by mu
}

// add counts one more connection of a network, which may have a quarter of all, and one
// in any case; those of unknown addresses are one network. The error is errTooManyOwn or
// errTooManyOwnOfNetwork.
func (o *ownConnections) add(network netip.Prefix) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.count >= o.most:
		return errTooManyOwn
	case o.byNetwork[network] >= max(o.most/4, 1):
		return errTooManyOwnOfNetwork
	}
	if o.byNetwork == nil {
		o.byNetwork = map[netip.Prefix]int{}
	}
	o.count++
	o.byNetwork[network]++
	return nil
}

// remove is called once for each add that succeeded.
func (o *ownConnections) remove(network netip.Prefix) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.count--
	if o.byNetwork[network]--; o.byNetwork[network] == 0 {
		delete(o.byNetwork, network)
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
	upstream  string
	client    *clientConn
	network   netip.Prefix     // of the client
	host      string           // where it leads, however many addresses the upstream has; written under client.mu
	attempt   balancer.Attempt // at that address; likewise
	who       string           // whom the gateway knew when it was made; "" for nobody
	transport *http.Transport  // with one connection at most
}

// find is the connection to an upstream, nil where there is none. One that was made
// for somebody else, or to an address that the upstream has no longer, is closed.
func (c *clientConn) find(u *upstream, who string) *ownConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.usable(u, who)
}

// acquire is the connection to an upstream, made where there is none, for a client at
// this address. The error is errTooManyOwn or errTooManyOwnOfNetwork.
func (c *clientConn) acquire(u *upstream, who string, address netip.Addr) (*ownConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if own := c.usable(u, who); own != nil {
		return own, nil
	}
	if c.closed {
		return nil, errTooManyOwn // nobody is there to hear it
	}
	network := request.ClientNetwork(address)
	if err := c.all.add(network); err != nil {
		return nil, err
	}
	attempt, _ := u.pool.Pick(nil)
	attempt.Done() // a connection is no request in flight
	key := u.poolKey(0)
	key.keepAlive = 0 // it ends with the client's
	own := &ownConn{
		upstream: u.Name, client: c, network: network, host: attempt.Address().Host(), attempt: attempt, who: who, transport: newTransport(key),
	}
	own.transport.MaxConnsPerHost, own.transport.MaxIdleConnsPerHost = 1, 1
	if c.own == nil {
		c.own = map[string]*ownConn{}
	}
	c.own[u.Name] = own
	return own, nil
}

// usable is the connection to an upstream, where it can go on being used. c.mu is held.
func (c *clientConn) usable(u *upstream, who string) *ownConn {
	own := c.own[u.Name]
	if own == nil {
		return nil
	}
	if own.who == who && slices.ContainsFunc(u.URLs, func(address *url.URL) bool { return address.Host == own.host }) {
		return own
	}
	c.drop(own)
	return nil
}

// drop closes a connection, or has it closed when the request ends that is under way on
// it. c.mu is held.
func (c *clientConn) drop(own *ownConn) {
	delete(c.own, own.upstream)
	c.all.remove(own.network)
	own.transport.CloseIdleConnections()
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
// before.
func (o *ownConn) moveTo(next balancer.Attempt) {
	next.Done() // a connection is no request in flight
	o.client.mu.Lock()
	defer o.client.mu.Unlock()
	o.host, o.attempt = next.Address().Host(), next
}

// within sends requests on the connection to u, whose answer's header may take so long;
// 0 for any time.
func (o *ownConn) within(u *upstream, timeout time.Duration) http.RoundTripper {
	return ownRoundTripper{o, u, timeout}
}

type ownRoundTripper struct {
	*ownConn
	to      *upstream
	timeout time.Duration
}

// RoundTrip implements http.RoundTripper. The timeout is the request's and not the
// transport's, since routes of one upstream have different ones. Where dialling failed,
// the upstream's other addresses are tried.
func (o ownRoundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, late, err := o.roundTrip(r)
	var tried []*balancer.Address
	for o.observe(r, resp, late, err) == neverSent && !o.to.NoRetry && r.Context().Err() == nil {
		tried = append(tried, o.attempt.Address())
		next, ok := o.to.pool.Pick(tried)
		if !ok {
			break
		}
		o.to.pool.CountRetry()
		o.moveTo(next)
		resp, late, err = o.roundTrip(toAddress(r, o.host, len(tried)+1 == o.to.pool.Len()))
	}
	if err == nil && !late {
		return resp, nil
	}
	switch {
	case late && err == nil:
		err = errors.Join(os.ErrDeadlineExceeded, resp.Body.Close())
	case late && r.Context().Err() == nil: // canceled by the timer, and not by the client
		err = os.ErrDeadlineExceeded
	}
	return nil, fmt.Errorf("upstream %s: %w", o.upstream, err)
}

// observe is the function of that name, for an answer that may have come too late.
func (o ownRoundTripper) observe(r *http.Request, resp *http.Response, late bool, err error) sending {
	if late {
		err = os.ErrDeadlineExceeded
	}
	return observe(o.attempt, r, resp, err)
}

// roundTrip reports besides whether the header came too late, or not at all.
func (o ownRoundTripper) roundTrip(r *http.Request) (resp *http.Response, late bool, err error) {
	if o.timeout <= 0 {
		resp, err = roundTrip(o.transport, r)
		return resp, false, err
	}
	ctx, cancel := context.WithCancel(r.Context()) // which ends with the request
	timer := time.AfterFunc(o.timeout, cancel)
	resp, err = roundTrip(o.transport, r.WithContext(ctx))
	return resp, !timer.Stop(), err
}

type clientConnKey struct{}

// clientConnOf is the client's connection that a request came over; nil where that is
// HTTP/2, which many share before some proxies and in which requests overlap.
func clientConnOf(ctx context.Context) *clientConn {
	c, _ := ctx.Value(clientConnKey{}).(*clientConn)
	return c
}

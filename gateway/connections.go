package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/http1/client"
	http2client "github.com/viloforge/vilogate/gateway/internal/http2/client"
)

// How many idle connections of HTTP/1.1 are kept: to one address, and in all.
const (
	maxIdlePerAddress = 512
	maxIdle           = 4096
)

// loginTimeout bounds the wait for an identity provider in another process.
const loginTimeout = 30 * time.Second

// How long a connection to an upstream may take: to one of several addresses while there
// are others to try, and to the only or the last one. A SYN that was lost is sent again
// after a second (RFC 6298, section 2), which is no failure of the address.
const (
	dialTimeoutAmongMany = 1500 * time.Millisecond
	dialTimeout          = 5 * time.Second
)

// isTimeout reports whether something took too long.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// connections are those to the upstreams. They outlive generations, so that a reload drops nothing.
type connections struct {
	*client.Pool
	http2 *http2client.Pool // nil where they are of HTTP/1.1 alone
}

// newConnections makes those of which so many at most are idle; maxIdle for 0.
func newConnections(idle int) connections {
	if idle <= 0 {
		idle = maxIdle
	}
	return connections{client.NewPool(min(maxIdlePerAddress, idle), idle), http2client.NewPool()}
}

// endpointsOf calls f with each address of gen.
func endpointsOf(gen *Generation, f func(*endpoint)) {
	for u := range gen.everyUpstream() {
		u.pool.Load().Each(func(to any) { f(to.(*endpoint)) })
	}
}

// add has the connections kept that an address needs.
func (c connections) add(at *endpoint) {
	if at.http2 {
		c.http2.Add(at.key)
	} else {
		c.Add(at.key)
	}
}

// retire closes what is idle of the connections that gen does not need; requests under way finish on theirs.
func (c connections) retire(gen *Generation) {
	needed := map[client.Key]bool{}
	ofHTTP2 := map[client.Key]bool{}
	endpointsOf(gen, func(at *endpoint) {
		if at.http2 {
			ofHTTP2[at.key] = true
		} else {
			needed[at.key] = true
		}
	})
	c.Retire(func(key client.Key) bool { return needed[key] })
	c.http2.Retire(func(key client.Key) bool { return ofHTTP2[key] })
}

// close drops what is idle.
func (c connections) close() {
	c.Pool.Close()
	c.http2.Close()
}

// A sender sends a request to an upstream, and returns when the answer's header was read.
type sender interface {
	send(ctx context.Context, out *outgoing) (*upstreamAnswer, error)
}

// sendTo sends a request to an address of u. What a kept connection was closed under, at the moment at which it was written, is
// repeated on a new one where it may be.
func (c connections) sendTo(ctx context.Context, u *upstream, to *endpoint, dialTimeout time.Duration, out *outgoing) (*upstreamAnswer, error) {
	if to.http2 {
		return sendHTTP2(ctx, c.http2, u, to, dialTimeout, out)
	}
	x, err := c.Send(ctx, to.key, dialTimeout, &out.request)
	if closed, ok := errors.AsType[*client.ClosedError](err); ok && closed.Reused && !u.NoRetry && out.isRepeatable() && ctx.Err() == nil {
		again := out.request
		again.Fresh = true
		x, err = c.Send(ctx, to.key, dialTimeout, &again)
	}
	if err != nil {
		return nil, err
	}
	out.answer = upstreamAnswer{x.Head, x}
	return &out.answer, nil
}

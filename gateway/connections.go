package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// How many idle connections are kept: to one address, and in all.
const (
	maxIdlePerAddress = 512
	maxIdle           = 4096
)

// loginTimeout bounds the wait for an identity provider in another process.
const loginTimeout = 30 * time.Second

// How long a connection to an upstream may take: to one of several addresses while there
// are others to try, and to the only or the last one.
const (
	dialTimeoutAmongMany = time.Second
	dialTimeout          = 5 * time.Second
)

// isTimeout reports whether something took too long.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// connections are those to the upstreams. They outlive generations, so that a reload drops nothing.
type connections struct{ *client.Pool }

// newConnections makes those of which so many at most are idle; maxIdle for 0.
func newConnections(idle int) connections {
	if idle <= 0 {
		idle = maxIdle
	}
	return connections{client.NewPool(min(maxIdlePerAddress, idle), idle)}
}

// keysOf calls f with the key of each address of gen.
func keysOf(gen *Generation, f func(client.Key)) {
	for u := range gen.everyUpstream() {
		u.pool.Load().Each(func(to any) { f(to.(*endpoint).key) })
	}
}

// retire closes what is idle of the connections that gen does not need; requests under way finish on theirs.
func (c connections) retire(gen *Generation) {
	needed := map[client.Key]bool{}
	keysOf(gen, func(key client.Key) { needed[key] = true })
	c.Retire(func(key client.Key) bool { return needed[key] })
}

// A sender sends a request to an upstream, and returns when the answer's header was read.
type sender interface {
	send(ctx context.Context, out *outgoing) (*client.Exchange, error)
}

// sendTo sends a request to an address of u. What a kept connection was closed under, at the moment at which it was written, is
// repeated on a new one where it may be.
func (c connections) sendTo(ctx context.Context, u *upstream, to client.Key, dialTimeout time.Duration, out *outgoing) (*client.Exchange, error) {
	x, err := c.Send(ctx, to, dialTimeout, &out.request)
	var closed *client.ClosedError
	if !errors.As(err, &closed) || !closed.Kept || u.NoRetry || !out.isRepeatable() || ctx.Err() != nil {
		return x, err
	}
	again := out.request
	again.Fresh = true
	return c.Send(ctx, to, dialTimeout, &again)
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/admission"
	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// attempts forwards one request to an address of its upstream, and to others while it
// was not sent, or may be repeated: safe and idempotent methods without a body (RFC
// 9110, section 9.2.2), on a connection that was closed before an answer began. Its
// zero value has made none. It is owned by the goroutine that serves the request.
type attempts struct {
	upstream        *upstream
	over            connections
	slot            slot
	affinity        uint64         // of the request; 0 for none
	pool            *balancer.Pool // that an address was chosen of first
	current         balancer.Attempt
	affinityCounted bool                // current is counted in upstream.affinityInFlight
	tried           []*balancer.Address // in vain
	until           time.Time           // no other attempt begins after it; zero before there was one
}

// failoverTime bounds how long after the first failure other addresses are tried.
const failoverTime = 5 * time.Second

// begin says where the request goes, whom it is counted for, and what it has in common with those that go to the same address.
func (a *attempts) begin(u *upstream, over connections, who admission.Client, affinity uint64) {
	a.upstream, a.over, a.slot, a.affinity = u, over, slot{of: u, client: who}, affinity
}

// pick chooses an address, by the affinity where that is not 0.
func pick(from *balancer.Pool, affinity uint64, tried []*balancer.Address) (balancer.Attempt, bool) {
	if affinity != 0 {
		return from.PickFor(affinity, tried)
	}
	return from.Pick(tried)
}

// end is when the upstream has done with the request. It may be called again.
func (a *attempts) end() {
	a.leave()
	a.slot.release()
}

// leave gives the address up.
func (a *attempts) leave() {
	if a.affinityCounted {
		a.upstream.affinityInFlight.release(clientAddress{a.slot.client, a.current.Address()})
	}
	a.current.Done()
	a.current, a.affinityCounted = balancer.Attempt{}, false
}

// pick waits until there is an address for the request that it did not try in vain.
func (a *attempts) pick(ctx context.Context) error {
	if a.upstream.pool.Load() == nil {
		return errUnresolved
	}
	return a.slot.take(ctx, a)
}

// Take implements admission.Taker: it chooses an address.
func (a *attempts) Take() (ok bool) {
	if len(a.tried) == 0 {
		a.pool = a.upstream.pool.Load()
	}
	if a.current, ok = pick(a.pool, a.affinity, a.tried); !ok {
		return false
	}
	if most := a.upstream.Limits.Connections; a.affinity != 0 && most > 0 {
		if !a.upstream.affinityInFlight.acquire(clientAddress{a.slot.client, a.current.Address()}, (most+1)/2) {
			a.leave()
			return false
		}
		a.affinityCounted = true
	}
	return true
}

// send implements sender.
func (a *attempts) send(ctx context.Context, out *outgoing) (*upstreamAnswer, error) {
	if err := a.pick(ctx); err != nil {
		return nil, err
	}
	for {
		x, err := a.over.sendTo(ctx, a.upstream, endpointOf(a.current), a.upstream.dialTimeout(len(a.tried)), out)
		sent := observe(ctx, a.current, out, x, err)
		if err == nil {
			a.slot.answered(x.Head.Status)
			return x, nil
		}
		if !a.mayTryAnother(ctx, out, sent) {
			if !isClientError(ctx, out) {
				a.slot.failed()
			}
			return nil, fmt.Errorf("upstream %s: %w", a.upstream.Name, err)
		}
		a.leave()
		if err := a.pick(ctx); err != nil {
			return nil, err
		}
		a.pool.CountRetry()
	}
}

// dialTimeout is how long a connection may take when so many addresses were tried in vain. The last one has the time that
// an only one would have.
func (u *upstream) dialTimeout(tried int) time.Duration {
	if tried+1 < u.pool.Load().Len() {
		return dialTimeoutAmongMany
	}
	return dialTimeout
}

// mayTryAnother reports whether the request may go to another address, and there is one.
func (a *attempts) mayTryAnother(ctx context.Context, out *outgoing, sent sending) bool {
	if a.upstream.NoRetry || ctx.Err() != nil || sent == maybeAnswered || sent == closedUnanswered && !out.isRepeatable() {
		return false
	}
	now := time.Now()
	if a.until.IsZero() {
		a.until = now.Add(failoverTime)
	}
	a.tried = append(a.tried, a.current.Address())
	return len(a.tried) < a.pool.Len() && !now.After(a.until) && (sent != closedUnanswered || a.pool.TakeRetry())
}

// sending is how far a request came that has no answer.
type sending uint8

const (
	maybeAnswered    sending = iota // an answer began, or may yet
	neverSent                       // there was no connection, or the upstream has said that it did nothing with it
	closedUnanswered                // it may have been read
)

// isClientError reports whether that a request failed is the client's doing, which says nothing of the upstream.
func isClientError(ctx context.Context, out *outgoing) bool {
	return ctx.Err() != nil || out.body.readErr() != nil
}

// observe tells the address how an attempt went, and how far it came.
func observe(ctx context.Context, attempt balancer.Attempt, out *outgoing, x *upstreamAnswer, err error) sending {
	if err == nil {
		attempt.Answered(x.Head.Status)
		return maybeAnswered
	}
	var op *net.OpError
	var closed *client.ClosedError
	switch {
	case isClientError(ctx, out):
	case errors.As(err, &op) && op.Op == "dial":
		attempt.Failed("dial: " + op.Err.Error())
		return neverSent
	case out.wasUnprocessed(err):
		return neverSent
	case errors.As(err, &closed):
		if closed.First {
			attempt.Failed("connection closed before an answer: " + closed.Err.Error())
		}
		return closedUnanswered
	case isTimeout(err):
		attempt.Answered(http.StatusGatewayTimeout)
	}
	return maybeAnswered
}

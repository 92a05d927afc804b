package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/balancer"
)

// attempts forwards one request to an address of its upstream, and to others while it
// was not sent, or may be repeated: safe and idempotent methods without a body (RFC
// 9110, section 9.2.2), on a connection that was closed before an answer began. Its
// zero value has made none. It is owned by the goroutine that serves the request.
type attempts struct {
	upstream *upstream
	next     http.RoundTripper
	current  balancer.Attempt
	tried    []*balancer.Address // in vain
	until    time.Time           // no other attempt begins after it; zero before there was one
}

// failoverTime bounds how long after the first failure other addresses are tried.
const failoverTime = 5 * time.Second

// begin chooses the first address, host:port.
func (a *attempts) begin(u *upstream, next http.RoundTripper) (host string) {
	a.upstream, a.next = u, next
	a.current, _ = u.pool.Pick(nil)
	return a.current.Address().Host()
}

// end is when the request has ended.
func (a *attempts) end() { a.current.Done() }

// RoundTrip implements http.RoundTripper.
func (a *attempts) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		resp, err := roundTrip(a.next, r)
		sent := observe(a.current, r, resp, err)
		if err == nil {
			return resp, nil
		}
		if !a.another(r, sent) {
			return nil, fmt.Errorf("upstream %s: %w", a.upstream.Name, err)
		}
		r = toAddress(r, a.current.Address().Host(), len(a.tried)+1 == a.upstream.pool.Len())
	}
}

// another chooses another address; false where there is none, or the request may not be
// repeated.
func (a *attempts) another(r *http.Request, sent sending) bool {
	if a.upstream.NoRetry || r.Context().Err() != nil || sent == maybeAnswered || sent == closedUnanswered && !isRepeatable(r) {
		return false
	}
	now := time.Now()
	if a.until.IsZero() {
		a.until = now.Add(failoverTime)
	}
	a.tried = append(a.tried, a.current.Address())
	if len(a.tried) == a.upstream.pool.Len() || now.After(a.until) || sent == closedUnanswered && !a.upstream.pool.TakeRetry() {
		return false
	}
	next, ok := a.upstream.pool.Pick(a.tried)
	if !ok {
		return false
	}
	a.upstream.pool.CountRetry()
	a.current.Done()
	a.current = next
	return true
}

// toAddress is the request to another address. The last one has the time to connect that
// an only one would have.
func toAddress(r *http.Request, host string, last bool) *http.Request {
	ctx := r.Context()
	if last {
		ctx = context.WithValue(ctx, lastAddressKey{}, true)
	}
	again := r.WithContext(ctx)
	address := *r.URL
	address.Host = host
	again.URL = &address
	return again
}

// sending is how far a request came that has no answer.
type sending uint8

const (
	maybeAnswered    sending = iota // an answer began, or may yet
	neverSent                       // there was no connection
	closedUnanswered                // it may have been read
)

// observe tells the address how an attempt went, and how far it came.
func observe(attempt balancer.Attempt, r *http.Request, resp *http.Response, err error) sending {
	if err == nil {
		attempt.Answered(resp.StatusCode)
		return maybeAnswered
	}
	var op *net.OpError
	var closed *closedError
	body, _ := r.Body.(*requestBody)
	switch {
	case r.Context().Err() != nil && !body.wasInterrupted(), body.readErr() != nil: // the client's doing, which says nothing
	case errors.As(err, &op) && op.Op == "dial":
		attempt.Failed("dial: " + op.Err.Error())
		return neverSent
	case errors.As(err, &closed):
		if closed.first {
			attempt.Failed("connection closed before an answer: " + closed.Err.Error())
		}
		return closedUnanswered
	case isTimeout(err):
		attempt.Answered(http.StatusGatewayTimeout)
	}
	return maybeAnswered
}

// isRepeatable reports whether a request may be sent twice.
func isRepeatable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return r.Body == nil || r.Body == http.NoBody
	}
	return false
}

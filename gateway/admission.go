package gateway

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/viloforge/vilogate/gateway/internal/admission"
	"github.com/viloforge/vilogate/policies/request"
)

// admissionClient is the client that the request is counted for among those in flight.
func (x *forwarding) admissionClient() admission.Client {
	if c := x.authentication.claims; c != nil && x.authentication.principal != nil {
		return admission.Client{Issuer: c.IssuerName(), Subject: c.Subject()}
	}
	return admission.Client{Network: request.ClientNetwork(x.client)}
}

// isRefusedAdmission reports whether a request was not admitted, so that no upstream has got it.
func isRefusedAdmission(err error) bool {
	var refused *admission.RefusedError
	return errors.As(err, &refused) || errors.Is(err, admission.ErrClient) || errors.Is(err, admission.ErrAll)
}

// refuseAdmission is 429 where one client has too many requests under way (RFC 6585, section 4), which is its own doing, and 503
// where all together have (RFC 9110, section 15.6.4). The error is one of isRefusedAdmission.
func (x *forwarding) refuseAdmission(cause error) error {
	r := &refusal{
		status: http.StatusServiceUnavailable, decision: "allow", kind: "overloaded", title: "Too busy right now",
		detail: "The service behind this address has more to do at the moment than it can. Try again shortly.",
		reason: "overloaded", cause: cause, retryAfter: 2,
	}
	var refused *admission.RefusedError
	if errors.As(cause, &refused) && refused.Reason == admission.BreakerOpen {
		r.kind, r.title = "unavailable", "Not available right now"
		r.detail = "The service behind this address does not answer at the moment. Try again shortly."
		r.reason, r.retryAfter = "circuit breaker open", max(int(ceilSeconds(refused.Wait)), 1)
	}
	if errors.Is(cause, admission.ErrClient) {
		r.status, r.kind, r.title = http.StatusTooManyRequests, "rate-limited", "Too many requests"
		r.detail = "Too many requests of yours are under way at the same time. Wait until some have ended, then try again."
		r.reason = fmt.Sprintf("more than %d requests of one client at upstreams (limits.client_requests)", x.g.clients.Status().PerClient)
	}
	return r
}

// refuseOwn is for a client that gets no connection of its own to the upstream.
func (x *forwarding) refuseOwn(cause error) error {
	switch {
	case errors.Is(cause, errUnresolved):
		return refuseUpstream(http.StatusBadGateway, "upstream request failed", cause)
	case isRefusedAdmission(cause):
		return x.refuseAdmission(cause)
	}
	return refuseTooManyOwn(cause)
}

// UpstreamLoad is what is under way at an upstream, what waits, and what was refused.
type UpstreamLoad = admission.Status

// TotalLoad is what is under way at all upstreams.
type TotalLoad = admission.ClientsStatus

// Loads tells what is under way at each upstream, by their names.
func (g *Gateway) Loads() []UpstreamLoad { return g.addresses.gates.Statuses() }

// TotalLoad tells what is under way at all upstreams but the identity provider.
func (g *Gateway) TotalLoad() TotalLoad { return g.clients.Status() }

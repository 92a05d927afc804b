package gateway

import (
	"net/http"

	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/policies"
)

// limit refuses a body that is too long, and counts the request, which would
// otherwise be forwarded, where its route has a rate. It is counted by who asks,
// never by the text of a token.
func (x *decided) limit() error {
	if err := x.limitBody(); err != nil {
		return err
	}
	route := x.route()
	if route == nil || route.Rate == nil {
		return nil
	}
	x.rate = x.gen.rateOf(x.Host, route)
	var key limits.Key
	switch {
	case x.rate.by == policies.PerRoute:
		key = x.g.opts.Limits.Key(x.rate.scope, "", "")
	case x.rate.by == policies.PerUser && x.authentication.principal != nil:
		key = x.g.opts.Limits.Key(x.rate.scope, x.authentication.claims.IssuerName(), x.authentication.claims.Subject())
	default: // by address; also anonymous requests, where authentication is optional
		key = x.addressKey(x.rate.scope)
	}
	x.limited = x.g.opts.Limits.Take(key, x.rate.rate)
	x.reply.rate, x.reply.limited = x.rate, x.limited
	if x.limited.OK {
		return nil
	}
	return &refusal{
		status: http.StatusTooManyRequests, decision: "limit", kind: "rate-limited", title: "Too many requests",
		detail: x.rateLimitDetail() + " Wait a little, then try again.",
		reason: "rate limit exceeded: " + route.Rate.String(), retryAfter: int(ceilSeconds(x.limited.RetryAfter)),
	}
}

// rateLimitDetail is the detail of a 429, by what is counted.
func (x *decided) rateLimitDetail() string {
	switch {
	case x.rate.by == policies.PerRoute:
		return "This page is asked for too often at the moment, by everybody together."
	case x.rate.by == policies.PerUser && x.authentication.principal != nil:
		return "You asked for this page too often."
	}
	return "This page was asked for too often from your network address."
}

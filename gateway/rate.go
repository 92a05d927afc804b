package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// rate is what a route's rate is at run time. It belongs to a generation; what is
// counted belongs to the gateway, and outlives reloads.
type rate struct {
	scope  limits.Scope
	rate   limits.Rate
	by     policies.RateBy
	name   string   // as the fields call it, quoted
	policy []string // the RateLimit-Policy field
}

// rateOf is the rate of a route, made when it is first asked for.
func (gen *Generation) rateOf(host *policies.HostPolicy, route *policies.Route) *rate {
	if known, ok := gen.rates.Load(route); ok {
		return known.(*rate)
	}
	r := &rate{
		// Not its position in the file, which a new line above it would change; but the rate itself: the backlog of
		// another rate, a stricter one perhaps, is not this one's.
		scope: limits.NewScope("route", host.Host, route.Pattern, strings.Join(route.Methods(), ","), route.Rate.String()),
		rate:  route.Rate.Rate,
		by:    route.Rate.By,
		name:  `"per-` + string(route.Rate.By) + `"`,
	}
	r.policy = []string{r.name + ";q=" + strconv.Itoa(route.Rate.Events) + ";w=" + strconv.FormatInt(ceilSeconds(route.Rate.Per), 10)}
	known, _ := gen.rates.LoadOrStore(route, r)
	return known.(*rate)
}

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
		key = x.addressKey()
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

// addressKey is the key of the client's network (request.ClientNetwork).
func (x *decided) addressKey() limits.Key {
	var buffer [32]byte
	network := request.ClientNetwork(x.client).AppendTo(buffer[:0])
	return x.g.opts.Limits.Key(x.rate.scope, "", string(network))
}

// setRateLimitFields sets the RateLimit fields (draft-ietf-httpapi-ratelimit-headers) of a
// request that was counted, in place of the backend's own.
func (x *reply) setRateLimitFields(h http.Header) {
	if x.rate == nil {
		return
	}
	var buffer [64]byte
	b := append(buffer[:0], x.rate.name...)
	b = strconv.AppendInt(append(b, ";r="...), int64(x.limited.Remaining), 10)
	b = strconv.AppendInt(append(b, ";t="...), ceilSeconds(x.limited.Reset), 10)
	h["Ratelimit"] = []string{string(b)}
	h["Ratelimit-Policy"] = x.rate.policy
}

// ceilSeconds rounds up to whole seconds.
func ceilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

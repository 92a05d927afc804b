package gateway

import (
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// authorise asks the policies, which are pure, for their decision.
func (x *exchange) authorise() error {
	facts, identity := x.factsAndIdentity()
	x.decision = x.match.Decide(facts, identity)
	x.noteFacts()
	x.askShadows(facts, identity)
	switch x.decision.Outcome {
	case policies.Allow:
		return nil
	case policies.Login:
		if route := x.decision.Route; route != nil && route.BearerOnly {
			return refuseWithoutToken()
		}
		return refuseStranger()
	case policies.StepUp:
		return x.stepUp(facts, identity)
	case policies.MethodNotAllowed:
		return refuseMethod(x.decision.Reason, x.decision.Allow)
	case policies.BadRequest:
		return refuseMalformed(x.decision.Reason)
	default:
		if x.principal == nil {
			return refuseEverybody(x.decision.Reason)
		}
		return refuseForbidden(x.decision.Reason)
	}
}

// factsAndIdentity are what decisions depend on.
func (x *exchange) factsAndIdentity() (f policies.Facts, id *policies.Identity) {
	if x.principal != nil {
		id = x.principal.as(x.byCookie)
	}
	return policies.Facts{
		Now: x.start, Method: x.target.Method, Host: x.target.Host, Path: x.target.Path,
		Client: x.client, Query: x.target.Query, Header: x.r.Header,
	}, id
}

// guardAgainstForgery is the CSRF rule: what a cookie alone could have brought
// about must come from this origin, from one that the CORS rules list, or from one
// that the route exempts. On a public route such a request goes on as anonymous.
func (x *exchange) guardAgainstForgery() error {
	route := x.decision.Route
	switch {
	case !x.forged(x.host, x.match, route):
		return nil
	case route.Public():
		x.becomeNobody()
		return nil
	}
	return refuseForgery()
}

// forged reports whether a cookie alone could have brought the request about, as
// a route of a policy sees it.
func (x *exchange) forged(host *policies.HostPolicy, match policies.Match, route *policies.Route) bool {
	if !x.byCookie {
		return false
	}
	var allowed []request.Origin
	if cors := host.CORSOf(match); cors != nil {
		allowed = cors.Origins
	}
	return !x.safeFromForgery(allowed, route.CSRFExempt)
}

// safeFromForgery applies request.CSRFSafe to this request.
func (x *exchange) safeFromForgery(allowed, exempt []request.Origin) bool {
	h := x.r.Header
	webSocket := isWebSocket(x.r)
	if !webSocket && request.IsSafe(x.target.Method) {
		return true
	}
	return request.CSRFSafe(request.CSRFFacts{
		Method: x.target.Method, WebSocket: webSocket,
		SecFetchSite: strings.Join(h["Sec-Fetch-Site"], ","), SecFetchMode: strings.Join(h["Sec-Fetch-Mode"], ","),
		Origin: h["Origin"], Own: request.Origin(x.gen.origin(string(x.target.Host))), Allowed: allowed, Exempt: exempt,
	})
}

package gateway

import (
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// authorise asks the policies, which are pure, for their decision.
func (x *exchange) authorise() error {
	var identity *policies.Identity
	if x.principal != nil {
		identity = x.principal.as(x.byCookie)
	}
	facts := policies.Facts{
		Now: x.start, Method: x.target.Method, Host: x.target.Host, Path: x.target.Path,
		Client: x.client, Query: x.target.Query, Header: x.r.Header,
	}
	x.decision = x.match.Decide(facts, identity)
	x.noteFacts()
	if x.host.Shadow != nil || x.gen.Shadow != nil {
		x.askShadows(facts, identity)
	}
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

// guardAgainstForgery is the CSRF rule: what a cookie alone could have brought
// about must come from this origin, from one that the CORS rules list, or from one
// that the route exempts. On a public route such a request goes on as anonymous.
func (x *exchange) guardAgainstForgery() error {
	route := x.decision.Route
	if !x.byCookie || x.safeFromForgery(x.allowedOrigins(), route.CSRFExempt) {
		return nil
	}
	if route.Public() {
		x.becomeNobody()
		return nil
	}
	return refuseForgery()
}

func (x *exchange) allowedOrigins() []request.Origin {
	if cors := x.host.CORSOf(x.match); cors != nil {
		return cors.Origins
	}
	return nil
}

// safeFromForgery applies request.CSRFSafe to this request.
func (x *exchange) safeFromForgery(allowed, exempt []request.Origin) bool {
	h := x.r.Header
	webSocket := isWebSocket(x.r)
	if !webSocket && isSafe(x.target.Method) {
		return true
	}
	return request.CSRFSafe(request.CSRFFacts{
		Method: x.target.Method, WebSocket: webSocket,
		SecFetchSite: strings.Join(h["Sec-Fetch-Site"], ","), SecFetchMode: strings.Join(h["Sec-Fetch-Mode"], ","),
		Origin: h["Origin"], Own: request.Origin(x.gen.origin(string(x.target.Host))), Allowed: allowed, Exempt: exempt,
	})
}

// isSafe reports whether the method is safe in the sense of RFC 9110, section
// 9.2.1.
func isSafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

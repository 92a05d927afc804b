package policies

import "github.com/viloforge/vilogate/policies/request"

// ReasonForeignBearer is why a request is refused whose cookie says who asks: who sends a Bearer token means it, and this
// one is of nobody that is known here.
const ReasonForeignBearer = "a Bearer token that no configured issuer could have made, beside a cookie, and the route does not say bearer: pass"

// checkForeignBearer decides about a Bearer token beside the cookie of whoever asks. A token that is known to be somebody's
// would say who asks, so that this one is of no issuer of ours. It is the backend's where the route says so, and the cookie
// counts; on another public route it is the backend's, and the cookie does not count; anywhere else the request is refused,
// which is reported.
func (a *Answer) checkForeignBearer() (refused bool) {
	lines := a.request.Header["Authorization"]
	if a.Identity == nil || a.Identity.Bearer || len(lines) == 0 {
		return false
	}
	token, ok := request.BearerToken(lines[0])
	if !ok {
		return false // another scheme
	}
	a.ForeignBearer = true
	m := &a.Match
	switch {
	case m.Route != nil && m.Route.BearerPass && request.IsOneToken(token):
		return false
	case m.Route != nil && m.Route.Public(), m.Route == nil && m.AllPublic:
		a.Identity = nil
		return false
	}
	a.Decision = Decision{Outcome: Deny, Reason: ReasonForeignBearer, Place: m.Place, Route: m.Route}
	return true
}

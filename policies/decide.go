package policies

import (
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// An Answer is what becomes of a request, and how.
type Answer struct {
	*Location
	Decision
	// Identity is who it was decided about: nil if anonymous, and where a request goes on as anonymous: a cross-site one, or one
	// to a public route with a Bearer token of nobody's.
	Identity *Identity
	// CrossSite says that a cookie alone could have brought the request about from another site.
	CrossSite bool
	// ForeignBearer says that beside the cookie of whoever asked stands a Bearer token that no configured issuer could have made.
	ForeignBearer bool
}

// ReasonCSRF is why a request is refused that its rule had allowed: no header of the browser says that a page of this site
// sent it.
const ReasonCSRF = "an unsafe request with a cookie names no allowed origin (Sec-Fetch-Site, Origin)"

// ReasonForeignBearer is why a request is refused whose cookie says who asks: who sends a Bearer token means it, and this
// one is of nobody that is known here.
const ReasonForeignBearer = "a Bearer token that no configured issuer could have made, beside a cookie, and the route does not say bearer: pass"

// Decide decides about a request: the one order of steps that the gateway, shadows, tests and tools share. What only the
// gateway knows is left out: whether a token is good, unless r has an Authenticator, and whether a rate is used up. The error
// is the Authenticator's.
func (s *Set) Decide(r *Request) (Answer, error) {
	l := s.Locate(r)
	return l.Decide()
}

// Decide does so by the policy of one host, whatever name the request asks for.
func (h *HostPolicy) Decide(r *Request) (Answer, error) {
	l := h.Locate(r)
	return l.Decide()
}

// Decide is the second half of [Set.Decide]: who asks, what the rule says of them, and CSRF protection.
func (l *Location) Decide() (a Answer, err error) {
	a = Answer{Location: l, Decision: l.decision}
	if l.Decided() {
		a.place()
		return a, nil
	}
	if (l.Endpoint == Logout || l.Endpoint == RemoveCookies || l.Endpoint == Kept) && !request.CSRFSafe(l.csrfFacts(nil, nil)) {
		a.CrossSite, a.Decision = true, Decision{Outcome: Deny, Reason: ReasonCSRF}
		a.place()
		return a, nil
	}
	if l.Endpoint == RemoveCookies { // for whoever it is: which cookies count is what nobody can tell
		a.Decision = Decision{Outcome: Allow, Reason: "a page of this host asks for it"}
		a.place()
		return a, nil
	}
	a.Identity = l.request.Identity
	if authenticator := l.request.Authenticator; authenticator != nil {
		if a.Identity, err = authenticator.Authenticate(l); err != nil {
			return a, err
		}
	}
	if l.Kind == OwnPath {
		a.decideEndpoint()
		a.place()
		return a, nil
	}
	if a.checkForeignBearer() {
		return a, nil
	}
	if a.Decision = l.Match.decide(l.Facts, a.Identity); a.Outcome == Allow {
		a.checkCSRF()
	}
	return a, nil
}

// place has what no route decided stand in the file of its host.
func (a *Answer) place() {
	if a.Host != nil && a.Place.Line == 0 {
		a.Place = a.Host.Place
	}
}

// decideEndpoint decides about the endpoints that ask who asks.
func (a *Answer) decideEndpoint() {
	switch {
	case a.Endpoint == Logout && (a.Identity == nil || a.Identity.Bearer):
		a.Decision = Decision{Outcome: Login, Reason: "no cookie that names a session"}
	case a.Endpoint == Kept && (a.Identity == nil || a.Identity.Bearer):
		a.Decision = Decision{Outcome: Login, Reason: "what was kept is shown to whoever has signed in by a cookie"}
	case a.Identity == nil:
		a.Decision = Decision{Outcome: Login, Reason: "nobody is signed in"}
	default:
		a.Decision = Decision{Outcome: Allow, Reason: "an endpoint of the gateway's own"}
	}
}

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

// checkCSRF is CSRF protection of what a cookie alone could have brought about. On a public route such a request goes on as
// anonymous.
func (a *Answer) checkCSRF() {
	if a.Identity == nil || a.Identity.Bearer {
		return
	}
	route := a.Decision.Route
	if a.csrfSafe(route) {
		return
	}
	a.CrossSite = true
	a.Outcome = route.Terms().Outcome(Case{Now: True, CrossSite: true})
	if a.Outcome == Allow {
		a.Identity = nil
		return
	}
	a.Reason = ReasonCSRF
}

// csrfSafe reports whether a cookie alone could not have brought the request to the route about.
func (l *Location) csrfSafe(route *Route) bool {
	return !request.IsWebSocket(l.request.Header) && request.IsSafe(l.Target.Method) || l.CSRFSafe(route)
}

// CrossSite reports whether a cookie alone could have brought the request about from another site, so that it cannot count. It
// is for an [Authenticator] that would have to ask somebody what a cookie is worth.
func (l *Location) CrossSite() bool { return !l.csrfSafe(l.Match.Route) }

// CSRFSafe reports whether CSRF protection would let an unsafe request pass on that route, or where it is nil on none, with the
// cookie of whoever it may be.
func (l *Location) CSRFSafe(route *Route) bool {
	var allowed, exempt []request.Origin
	if route != nil {
		exempt = route.CSRFExempt
		if route.CORS != nil {
			allowed = route.CORS.Origins
		}
	}
	return request.CSRFSafe(l.csrfFacts(allowed, exempt))
}

func (l *Location) csrfFacts(allowed, exempt []request.Origin) request.CSRFFacts {
	header := l.request.Header
	f := request.CSRFFacts{
		Method: l.Target.Method, WebSocket: request.IsWebSocket(header), Origin: header["Origin"],
		SecFetchSite: strings.Join(header["Sec-Fetch-Site"], ","), SecFetchMode: strings.Join(header["Sec-Fetch-Mode"], ","),
		SelfOrigin: request.Origin("https://" + string(l.Name)), CORSOrigins: allowed, Exempt: exempt,
	}
	if l.publicPort != 443 && l.publicPort != 0 {
		f.SelfOrigin += request.Origin(":" + strconv.Itoa(l.publicPort))
	}
	return f
}

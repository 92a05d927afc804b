package policies

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// An Identity is somebody whose token was verified: built once a token, shared by its requests, never written again.
type Identity struct {
	Issuer   string   // the configured name; our own is "vilogate"
	User     string   // as backends see it in X-User
	Subject  string   // stable, never reused
	Email    string   // as the issuer knows it
	Name     string   // for people
	Session  string   // "" where the issuer has no sessions
	Roles    []string // sorted
	AMR      []string // how they signed in (RFC 8176)
	AuthTime time.Time

	// EmailVerified says that the issuer has made sure that Email is theirs: our own always, another by email_verified.
	// What is not verified counts as no address in any condition.
	EmailVerified bool
	// MFATime is when they last showed a second factor, where a test names it; no issuer does yet. Where it is zero and AMR
	// holds "mfa", they did so at AuthTime.
	MFATime  time.Time
	IssuedAt time.Time // of the token
	Expires  time.Time // of the token
	Claims   Claims    // of the token; nil for none
	Bearer   bool      // by a Bearer token, not by a cookie
}

// Claims are the claims of a token. A value is what encoding/json makes of one: string, bool, float64, nil, []any or
// map[string]any. It is safe for concurrent use.
type Claims interface {
	Claim(name string) (value any, ok bool)
}

// Facts are what a decision may depend on besides the identity. There is nothing else: no clock, no network.
type Facts struct {
	Now    time.Time
	Method string
	Host   request.Host
	Path   request.Path
	Client netip.Addr // who asks, behind trusted proxies; of the zero Addr no network is known, behind a not either
	Query  string     // byte for byte, without the "?"; only Route.Reads.Query needs it
	Header Header     // only Route.Reads.Headers needs it; nil for none
}

// Header gives the values of a request's header fields by name; http.Header is one.
type Header interface {
	Values(name string) []string
}

// Reads are the facts that a decision of a route depends on, besides who asks: what an audit record has to hold so that
// the decision can be made again.
type Reads struct {
	Client        bool // the client's address
	Now           bool // the time of day; not the age of a login, which is who asks
	TokenLifetime bool // when the token was issued, and until when it is good
	Query         []string
	Headers       []string // by canonical names, X-Tenant
	Claims        []string
}

// An Outcome is what is to become of a request.
type Outcome uint8

// The outcomes.
const (
	Allow                Outcome = iota + 1
	Deny                         // 403
	Login                        // authentication required, and the request is anonymous: 302 or 401
	StepUp                       // a fresher or stronger login is needed
	MethodNotAllowed             // 405, with Decision.Allow
	BadRequest                   // 400: a spelling that the route does not permit, or a query or header that it cannot read
	NotFound                     // 404: no policy is for the host, or an own path that is none
	MethodNotImplemented         // 501: a method that the host does not know
)

// String is the outcome as tests name it, with the status where they have one word for several.
func (o Outcome) String() string {
	switch o {
	case Allow:
		return "allow"
	case Deny:
		return "deny"
	case Login:
		return "login"
	case StepUp:
		return "step-up"
	case MethodNotAllowed:
		return "deny (405 method not allowed)"
	case BadRequest:
		return "bad-request"
	case NotFound:
		return "deny (404 not found)"
	case MethodNotImplemented:
		return "deny (501 not implemented)"
	}
	return "none"
}

// A Decision says what is to become of a request, and which rule says so.
type Decision struct {
	Outcome Outcome
	Reason  string           // for the log and for ops, never for the client
	Place   strictyaml.Place // of the route that decided, or of the file where none did
	Route   *Route           // nil where none decided
	Allow   []string         // with MethodNotAllowed: the methods that there are

	// Condition is the one that did not hold, where one is to blame; nil otherwise.
	Condition *Condition
}

// decide is what the routes say of a request that matched as m says; id is nil for nobody.
func (m Match) decide(f Facts, id *Identity) Decision {
	d := Decision{Place: m.Place, Route: m.Route}
	switch {
	case m.Route != nil:
		d.Outcome, d.Reason, d.Condition = m.Route.rule.decide(&evaluation{facts: f, id: id, route: m.Route})
	case len(m.Allow) > 0 && (m.AllPublic || id != nil):
		d.Outcome, d.Reason, d.Allow = MethodNotAllowed, "method not allowed by the routes of this pattern", m.Allow
	case id == nil:
		d.Outcome, d.Reason = Login, "no route matches this path and method, and the request is anonymous"
	default:
		d.Outcome, d.Reason = Deny, "no route matches this path"
	}
	return d
}

// An Answer is what becomes of a request, and how.
type Answer struct {
	*Location
	Decision
	// Identity is who it was decided about: nil for nobody, and where a cross-site request goes on as anonymous.
	Identity *Identity
	// CrossSite says that a cookie alone could have brought the request about from another site.
	CrossSite bool
}

// ReasonCSRF is why a request is refused that its rule had allowed: no header of the browser says that a page of this site
// sent it.
const ReasonCSRF = "an unsafe request with a cookie names no allowed origin (Sec-Fetch-Site, Origin)"

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
	if l.Endpoint == Logout && !request.CSRFSafe(a.csrfFacts(nil, nil)) {
		a.CrossSite, a.Decision = true, Decision{Outcome: Deny, Reason: ReasonCSRF}
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
	case a.Identity == nil:
		a.Decision = Decision{Outcome: Login, Reason: "nobody is signed in"}
	default:
		a.Decision = Decision{Outcome: Allow, Reason: "an endpoint of the gateway's own"}
	}
}

// checkCSRF is CSRF protection of what a cookie alone could have brought about. On a public route such a request goes on as
// anonymous.
func (a *Answer) checkCSRF() {
	if a.Identity == nil || a.Identity.Bearer {
		return
	}
	route := a.Decision.Route
	var allowed []request.Origin
	if route.CORS != nil {
		allowed = route.CORS.Origins
	}
	if !request.IsWebSocket(a.request.Header) && request.IsSafe(a.Target.Method) || request.CSRFSafe(a.csrfFacts(allowed, route.CSRFExempt)) {
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

func (a *Answer) csrfFacts(allowed, exempt []request.Origin) request.CSRFFacts {
	header := a.request.Header
	f := request.CSRFFacts{
		Method: a.Target.Method, WebSocket: request.IsWebSocket(header), Origin: header["Origin"],
		SecFetchSite: strings.Join(header["Sec-Fetch-Site"], ","), SecFetchMode: strings.Join(header["Sec-Fetch-Mode"], ","),
		SelfOrigin: request.Origin("https://" + string(a.Name)), CORSOrigins: allowed, Exempt: exempt,
	}
	if a.publicPort != 443 && a.publicPort != 0 {
		f.SelfOrigin += request.Origin(":" + strconv.Itoa(a.publicPort))
	}
	return f
}

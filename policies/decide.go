package policies

import (
	"net/netip"
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
	Client  bool // the client's address
	Now     bool // the time of day; not the age of a login, which is who asks
	Life    bool // when the token was issued, and until when it is good
	Query   []string
	Headers []string // by canonical names, X-Tenant
	Claims  []string
}

// An Outcome is what is to become of a request.
type Outcome uint8

// The outcomes.
const (
	Allow            Outcome = iota + 1
	Deny                     // 403
	Login                    // somebody is needed and nobody is there: 302 or 401
	StepUp                   // a fresher or stronger login is needed
	MethodNotAllowed         // 405, with Decision.Allow
	BadRequest               // 400: a spelling that the route does not permit, or a query or header that it cannot read
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

// Decide decides about a request that matched as m says; id is nil for nobody. The gateway and `tests:` share it.
func (m Match) Decide(f Facts, id *Identity) Decision {
	d := Decision{Place: m.Place, Route: m.Route}
	switch {
	case m.Odd != 0:
		d.Outcome, d.Reason = BadRequest, "the route does not permit this spelling of the path (encoded_slash, double_slash, semicolon)"
	case m.Route != nil && len(m.Route.Reads.Headers) > 0 && twice(f.Header, m.Route.Reads.Headers):
		d.Outcome, d.Reason = BadRequest, "the policy reads a header that is there twice, and servers could take either"
	case m.Route != nil && len(m.Route.Reads.Query) > 0 && request.CheckQuery(f.Query, m.Route.Reads.Query) != nil:
		d.Outcome, d.Reason = BadRequest, "the policy reads the query, and servers could read it in another way"
	case m.Route != nil:
		d.Outcome, d.Reason, d.Condition = m.Route.rule.decide(&evaluation{facts: f, id: id, route: m.Route})
	case len(m.Allow) > 0 && (m.AllPublic || id != nil):
		d.Outcome, d.Reason, d.Allow = MethodNotAllowed, "the routes of this pattern take other methods", m.Allow
	case id == nil:
		d.Outcome, d.Reason = Login, "no route lists this path and method, and nobody is signed in"
	default:
		d.Outcome, d.Reason = Deny, "no route lists this path"
	}
	return d
}

// twice reports whether one of the headers has several lines.
func twice(h Header, names []string) bool {
	if h == nil {
		return false
	}
	for _, name := range names {
		if len(h.Values(name)) > 1 {
			return true
		}
	}
	return false
}

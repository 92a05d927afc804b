package policies

import (
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
	Bearer   bool // by a Bearer token, not by a cookie
}

// Facts are what a decision may depend on besides the identity. There is nothing else: no clock, no network.
type Facts struct {
	Now    time.Time
	Method string
	Host   request.Host
	Path   request.Path
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
	BadRequest               // 400: a spelling that the route does not permit
)

// String is the outcome as tests: name it, where they do.
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
		return "deny (400 bad request)"
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
}

// Decide decides about a request that matched as m says; id is nil for nobody. The gateway and `tests:` share it.
func (m Match) Decide(f Facts, id *Identity) Decision {
	d := Decision{Place: m.Place, Route: m.Route}
	switch {
	case m.Odd != 0:
		d.Outcome, d.Reason = BadRequest, "the route does not permit this spelling of the path (encoded_slash, double_slash, semicolon)"
	case m.Route != nil:
		d.Outcome, d.Reason = m.Route.rule.decide(f, id)
	case len(m.Allow) > 0 && (m.AllPublic || id != nil):
		d.Outcome, d.Reason, d.Allow = MethodNotAllowed, "the routes of this pattern take other methods", m.Allow
	case id == nil:
		d.Outcome, d.Reason = Login, "no route lists this path and method, and nobody is signed in"
	default:
		d.Outcome, d.Reason = Deny, "no route lists this path"
	}
	return d
}

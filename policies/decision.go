package policies

import "github.com/viloforge/vilogate/policies/strictyaml"

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

// decide is what the routes say of a request that matched as m says; id is nil if anonymous.
func (m Match) decide(f Facts, id *Identity) Decision {
	d := Decision{Place: m.Place, Route: m.Route}
	switch {
	case m.Route != nil:
		d.Outcome, d.Reason, d.Condition = m.Route.rule.decide(&evaluation{facts: f, id: id, segments: m.Route.segments})
	case len(m.Allow) > 0 && (m.AllPublic || id != nil):
		d.Outcome, d.Reason, d.Allow = MethodNotAllowed, "method not allowed by the routes of this pattern", m.Allow
	case id == nil:
		d.Outcome, d.Reason = Login, "no route matches this path and method, and the request is anonymous"
	default:
		d.Outcome, d.Reason = Deny, "no route matches this path"
	}
	return d
}

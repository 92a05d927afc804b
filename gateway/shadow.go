package gateway

import (
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Second is what other policies would have decided, where that differs from what
// was decided.
type Second struct {
	Folder   bool // a whole folder beside the live one; else routes with mode: shadow
	Decision string
	Reason   string
	Rule     strictyaml.Place // zero when there was none
}

// askShadows evaluates the policies that stand in the shadow of the live ones, if
// there are any, with the same facts. Nothing that they say changes anything.
// What is refused before the policy is asked is not theirs to judge either.
func (x *exchange) askShadows(facts policies.Facts, identity *policies.Identity) {
	if x.host.Shadow != nil {
		x.compare(false, x.host.Shadow.Match(x.target.Path, x.target.Method).Decide(facts, identity))
	}
	if x.gen.Shadow == nil {
		return
	}
	host := x.gen.Shadow.Lookup(x.target.Host)
	if host == nil {
		x.seconds = append(x.seconds, Second{Folder: true, Decision: decisionUnknownHost, Reason: "no policy names the host"})
		return
	}
	x.compare(true, host.Match(x.target.Path, x.target.Method).Decide(facts, identity))
}

// compare notes a second decision that differs from the first.
func (x *exchange) compare(folder bool, d policies.Decision) {
	if decision := decisionOf(d.Outcome); decision != decisionOf(x.decision.Outcome) {
		x.seconds = append(x.seconds, Second{Folder: folder, Decision: decision, Reason: d.Reason, Rule: d.Place})
	}
}

const decisionUnknownHost = "unknown-host"

// decisionOf is the word for an outcome in records, as tests: of a policy have it.
func decisionOf(o policies.Outcome) string {
	switch o {
	case policies.Allow:
		return "allow"
	case policies.Login:
		return "login"
	case policies.StepUp:
		return "step-up"
	case policies.BadRequest:
		return "bad-request"
	default:
		return "deny"
	}
}

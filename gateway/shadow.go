package gateway

import (
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
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
// What is refused before the policy is asked is not theirs to judge either: hosts
// that only they name, preflights, and credentials that do not verify.
func (x *exchange) askShadows(facts policies.Facts, identity *policies.Identity) {
	if !x.hasShadows() {
		return
	}
	live := x.verdict(x.host, x.match, x.decision)
	if shadow := x.host.Shadow; shadow != nil {
		match := shadow.Match(x.target.Path, x.target.Method)
		x.compare(false, live, x.verdict(shadow, match, match.Decide(facts, identity)))
	}
	if x.gen.Shadow == nil {
		return
	}
	host := x.gen.Shadow.Lookup(x.target.Host)
	if host == nil {
		x.seconds = append(x.seconds, Second{Folder: true, Decision: decisionUnknownHost, Reason: "no policy names the host"})
		return
	}
	match := host.Match(x.target.Path, x.target.Method)
	x.compare(true, live, x.verdict(host, match, match.Decide(facts, identity)))
}

func (x *exchange) hasShadows() bool { return x.host.Shadow != nil || x.gen.Shadow != nil }

// askShadowsOfSpelling does so where the live route refuses how the path is
// spelt, which another may permit. Who asks is found out for them alone: the
// refusal stays what it is.
func (x *exchange) askShadowsOfSpelling() {
	if !x.hasShadows() {
		return
	}
	if err := x.authenticate(); err != nil {
		return
	}
	x.clear = nil
	x.askShadows(x.factsAndIdentity())
}

// verdict is a decision with what comes before it and the CSRF rule, which
// follows it.
func (x *exchange) verdict(host *policies.HostPolicy, match policies.Match, d policies.Decision) policies.Decision {
	if match.Route != nil && request.EndsAtHop(x.r.Header["Connection"], match.Route.Reads.Headers) {
		d.Outcome, d.Reason = policies.BadRequest, policies.ReasonEndsAtHop
	}
	if d.Outcome == policies.Allow && !d.Route.Public() && x.forged(host, match, d.Route) {
		d.Outcome, d.Reason = policies.Deny, ReasonForged
	}
	return d
}

// compare notes a second decision that differs from the first.
func (x *exchange) compare(folder bool, first, second policies.Decision) {
	if decision := decisionOf(second.Outcome); decision != decisionOf(first.Outcome) {
		x.seconds = append(x.seconds, Second{Folder: folder, Decision: decision, Reason: second.Reason, Rule: second.Place})
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

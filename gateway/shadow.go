package gateway

import "github.com/viloforge/vilogate/policies"

// evaluateShadows evaluates the policies that stand in the shadow of the live
// ones, if there are any, about the same request. Nothing that they say changes
// anything. Credentials that do not verify are not theirs to judge.
func (x *exchange) evaluateShadows() {
	if shadow := x.located.Host.Shadow; shadow != nil {
		x.evaluateShadow(false, shadow.Decide)
	}
	if x.gen.Shadow != nil {
		x.evaluateShadow(true, x.gen.Shadow.Decide)
	}
}

// evaluateShadow notes a shadow decision that differs from the live one.
func (x *exchange) evaluateShadow(folder bool, decide func(*policies.Request) (policies.Answer, error)) {
	shadow, err := decide(&x.request)
	if err != nil {
		return
	}
	decision := decisionOf(shadow.Outcome)
	if shadow.Kind == policies.UnknownHost {
		decision = decisionUnknownHost
	}
	if decision != decisionOf(x.decided.answer.Outcome) {
		x.record.shadows = append(x.record.shadows, ShadowDecision{Folder: folder, Decision: decision, Reason: shadow.Reason, Rule: shadow.Place})
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

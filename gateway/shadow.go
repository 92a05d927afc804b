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
	decision := shadow.Outcome.Word()
	if shadow.Kind == policies.UnknownHost {
		decision = decisionUnknownHost
	}
	if decision != x.decided.answer.Outcome.Word() {
		x.record.shadows = append(x.record.shadows, ShadowDecision{Folder: folder, Decision: decision, Reason: shadow.Reason, Rule: shadow.Place})
	}
}

const decisionUnknownHost = "unknown-host"

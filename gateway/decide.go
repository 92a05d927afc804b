package gateway

import (
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
)

// Authenticate implements policies.Authenticator: who sends the request is found
// out once, also where shadows ask first.
func (x *exchange) Authenticate(*policies.Location) (*policies.Identity, error) {
	if !x.authenticated {
		x.authenticated = true
		x.authErr = x.decided.authentication.authenticate(&x.located)
	}
	return x.decided.authentication.identity(), x.authErr
}

// decide has the policies, which are pure, decide. An error is the refusal.
func (x *exchange) decide() (err error) {
	d := &x.decided
	d.authentication = authentication{forwardBearer: true}
	d.answer, err = x.located.Location.Decide()
	x.reply.setCookies = append(x.reply.setCookies, d.authentication.setCookies...)
	if err != nil {
		return err
	}
	if d.Kind == policies.Routed {
		d.recordFacts()
		x.evaluateShadows()
	}
	if d.answer.Identity == nil && d.answer.Outcome == policies.Allow {
		d.authentication.continueAnonymous()
	}
	d.endLoginRounds()
	return d.refusal()
}

// refusal is the answer to a request that may not go on; nil for one that may.
func (d *decided) refusal() error {
	a := &d.answer
	switch a.Outcome {
	case policies.Allow:
		return nil
	case policies.Login:
		return d.loginRequired()
	case policies.StepUp:
		return d.stepUp()
	case policies.MethodNotAllowed:
		return refuseMethodNotAllowed(a.Reason, a.Allow)
	case policies.MethodNotImplemented:
		return refuseMethodNotImplemented(a.Reason)
	case policies.BadRequest:
		return refuseMalformed(a.Reason)
	case policies.NotFound:
		if a.Kind == policies.OwnPath {
			return refuseNotFound()
		}
		return refuseUnknownHost()
	}
	switch {
	case a.CrossSite:
		return refuseCSRF()
	case a.ForeignBearer && a.Reason == policies.ReasonForeignBearer:
		return refuseInvalidToken(token.ErrUnknownIssuer)
	case d.authentication.principal == nil:
		return refuseForbiddenAnonymous(a.Reason)
	}
	return refuseForbidden(a.Reason)
}

// loginRequired refuses an anonymous request for what needs somebody.
func (d *decided) loginRequired() error {
	switch route := d.answer.Decision.Route; {
	case d.Kind == policies.OwnPath && d.Endpoint == policies.Me:
		return refuseNotSignedIn()
	case d.Kind == policies.OwnPath && d.Endpoint == policies.Kept:
		return refuseLoginRequired()
	case d.Kind == policies.OwnPath:
		return refuseLogout(d.answer.Reason)
	case route != nil && route.BearerOnly:
		return refuseBearerRequired()
	}
	return refuseLoginRequired()
}

package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// authRequirement is what a step-up has to fulfil: max_age and acr_values of OpenID
// Connect and RFC 9470.
type authRequirement struct {
	maxAge time.Duration // of the login, or of the second factor
	mfa    bool          // a second factor
}

// acrMFA asks for a second factor among acr_values.
const acrMFA = "mfa"

// requirementOf is what the route requires of this principal that a login just now
// would fulfil: of all parts what each lacks, of alternatives the one that a login
// can fulfil, and of several of those a fresh login rather than a second factor.
func requirementOf(route *policies.Route, f policies.Facts, id *policies.Identity) authRequirement {
	eval := stepUpEval{route, f, id}
	if d := eval.requirement(route.Condition()); d != (authRequirement{}) {
		return d
	}
	return authRequirement{mfa: true} // behind two nots; it is a fresh login as well
}

// stepUpEval evaluates a route for a principal whom a fresher or stronger login
// would let in.
type stepUpEval struct {
	route    *policies.Route
	facts    policies.Facts
	identity *policies.Identity
}

// requirement is what a login has to fulfil for the condition to hold.
func (n *stepUpEval) requirement(c *policies.Condition) (d authRequirement) {
	if held, _ := n.route.Truth(c, n.facts, n.identity); held == policies.True {
		return authRequirement{}
	}
	switch c.Kind {
	case policies.MaxAge:
		return authRequirement{maxAge: c.Age}
	case policies.MFA:
		return authRequirement{maxAge: c.Age, mfa: true}
	case policies.AMR:
		return authRequirement{mfa: true}
	case policies.All:
		for _, of := range c.Of {
			d = d.merge(n.requirement(of))
		}
	case policies.Any:
		have := false
		for _, of := range c.Of {
			if n.route.TruthAfterStepUp(of, n.facts, n.identity) != policies.True {
				continue
			}
			if other := n.requirement(of); !have || d.mfa && !other.mfa {
				d, have = other, true
			}
		}
	}
	return d
}

// merge is both requirements at once.
func (d authRequirement) merge(other authRequirement) authRequirement {
	switch {
	case d.maxAge == 0:
		d.maxAge = other.maxAge
	case other.maxAge > 0:
		d.maxAge = min(d.maxAge, other.maxAge)
	}
	d.mfa = d.mfa || other.mfa
	return d
}

// query is the requirement as the last parameters of a login URL.
func (d authRequirement) query() string {
	q := ""
	if d.maxAge > 0 {
		q += "&max_age=" + strconv.FormatInt(int64(d.maxAge/time.Second), 10)
	}
	if d.mfa {
		q += "&acr_values=" + acrMFA
	}
	return q
}

// challenge is the requirement as WWW-Authenticate has it (RFC 9470, section 3).
func (d authRequirement) challenge() string {
	c := `error="insufficient_user_authentication", error_description="a more recent login is needed"`
	if d.mfa {
		c = `error="insufficient_user_authentication", error_description="a second factor is needed", acr_values="` + acrMFA + `"`
	}
	if d.maxAge > 0 {
		c += `, max_age="` + strconv.FormatInt(int64(d.maxAge/time.Second), 10) + `"`
	}
	return c
}

// stepUpCookie holds for a while when a browser was redirected to a step-up login.
// If it comes back with a login that is older still, another redirect would be a
// redirect loop: a page says so instead.
const (
	stepUpCookie = "__Host-vilogate-step-up"
	stepUpWindow = 5 * time.Minute
)

// stepUp refuses a principal whose login is too old or too weak.
func (x *decided) stepUp() error {
	d := requirementOf(x.route(), x.Facts, x.authentication.identity())
	r := &refusal{
		status: http.StatusUnauthorized, decision: "step-up", kind: "step-up", title: "Sign in again",
		detail: "This page needs a more recent sign-in.", reason: x.answer.Reason, challenge: d.challenge(),
		offerLogin: true, stepUpQuery: d.query(), redirectToLogin: x.authentication.byCookie && !x.authentication.byHeader,
	}
	if d.mfa {
		r.detail = "This page needs a second factor, such as a security key or a code."
	}
	if !r.redirectToLogin || !x.isNavigation() {
		return r
	}
	if sent, ok := x.lastStepUp(); ok && x.authentication.claims.AuthTime().Before(sent) {
		x.reply.setCookies = append(x.reply.setCookies, clearHostCookie(stepUpCookie))
		r.redirectToLogin, r.stepUpQuery = false, r.stepUpQuery+"&prompt=login"
		r.detail = "This page needs a more recent or a stronger sign-in than the one that you came back with."
		return r
	}
	x.reply.setCookies = append(x.reply.setCookies, hostCookie(stepUpCookie, strconv.FormatInt(x.start.Unix(), 10), stepUpWindow))
	return r
}

// lastStepUp is when the browser was last redirected to a step-up login, within
// stepUpWindow.
func (x *received) lastStepUp() (sent time.Time, ok bool) {
	for value := range request.CookieValues(x.r.Header, stepUpCookie) {
		unix, err := strconv.ParseInt(value, 10, 64)
		if at := time.Unix(unix, 0); err == nil && x.start.Sub(at) < stepUpWindow && at.After(sent) {
			sent, ok = at, true
		}
	}
	return sent, ok
}

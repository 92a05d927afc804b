package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/viloforge/vilogate/policies"
)

// demand is what somebody who is signed in has to show anew, in the words of
// OpenID Connect and RFC 9470.
type demand struct {
	maxAge time.Duration // of the login, or of the second factor
	mfa    bool          // a second factor
}

// acrMFA asks for a second factor among acr_values.
const acrMFA = "mfa"

// demandOf is what the route asks of this person that a login just now would make
// hold: of all parts what each lacks, of alternatives the one that a login can make
// hold, and of several of those a fresh login rather than a second factor.
func demandOf(route *policies.Route, f policies.Facts, id *policies.Identity) demand {
	n := need{route, f, id}
	if d := n.of(route.Condition()); d != (demand{}) {
		return d
	}
	return demand{mfa: true} // behind two nots; it is a fresh login as well
}

// need is a person who asks for a route that a fresher or stronger login opens.
type need struct {
	route    *policies.Route
	facts    policies.Facts
	identity *policies.Identity
}

// of is what it takes to make the condition hold, which a login can do.
func (n *need) of(c *policies.Condition) (d demand) {
	if held, _ := n.route.Truth(c, n.facts, n.identity); held == policies.True {
		return demand{}
	}
	switch c.Kind {
	case policies.MaxAge:
		return demand{maxAge: c.Age}
	case policies.MFA:
		return demand{maxAge: c.Age, mfa: true}
	case policies.AMR:
		return demand{mfa: true}
	case policies.All:
		for _, of := range c.Of {
			d = d.and(n.of(of))
		}
	case policies.Any:
		found := false
		for _, of := range c.Of {
			if n.route.TruthAfterLogin(of, n.facts, n.identity) != policies.True {
				continue
			}
			if other := n.of(of); !found || d.mfa && !other.mfa {
				d, found = other, true
			}
		}
	}
	return d
}

// and is both demands at once.
func (d demand) and(other demand) demand {
	switch {
	case d.maxAge == 0:
		d.maxAge = other.maxAge
	case other.maxAge > 0:
		d.maxAge = min(d.maxAge, other.maxAge)
	}
	d.mfa = d.mfa || other.mfa
	return d
}

// query is the demand as it stands behind the return address in a login URL.
func (d demand) query() string {
	q := ""
	if d.maxAge > 0 {
		q += "&max_age=" + strconv.FormatInt(int64(d.maxAge/time.Second), 10)
	}
	if d.mfa {
		q += "&acr_values=" + acrMFA
	}
	return q
}

// challenge is the demand as WWW-Authenticate has it (RFC 9470, section 3).
func (d demand) challenge() string {
	c := `error="insufficient_user_authentication", error_description="a more recent login is needed"`
	if d.mfa {
		c = `error="insufficient_user_authentication", error_description="a second factor is needed", acr_values="` + acrMFA + `"`
	}
	if d.maxAge > 0 {
		c += `, max_age="` + strconv.FormatInt(int64(d.maxAge/time.Second), 10) + `"`
	}
	return c
}

// stepUpCookie remembers for a while when a browser was sent to sign in again. If
// it comes back with a login that is older still, another redirect would be a
// loop: a page says so instead.
const (
	stepUpCookie = "__Host-vilogate-step-up"
	stepUpWindow = 5 * time.Minute
)

// stepUp refuses somebody who has to show more than they did.
func (x *decided) stepUp() error {
	d := demandOf(x.route(), x.Facts, x.authentication.identity())
	r := &refusal{
		status: http.StatusUnauthorized, decision: "step-up", kind: "step-up", title: "Sign in again",
		detail: "This page needs a more recent sign-in.", reason: x.answer.Reason, challenge: d.challenge(),
		login: true, demand: d.query(), redirect: x.authentication.byCookie,
	}
	if d.mfa {
		r.detail = "This page needs a second factor, such as a security key or a code."
	}
	if !x.authentication.byCookie || !x.isNavigation() {
		return r
	}
	if sent, ok := x.sentToStepUp(); ok && x.authentication.claims.AuthTime().Before(sent) {
		x.reply.setCookies = append(x.reply.setCookies, clearHostCookie(stepUpCookie))
		r.redirect, r.demand = false, r.demand+"&prompt=login"
		r.detail = "This page needs a more recent or a stronger sign-in than the one that you came back with."
		return r
	}
	x.reply.setCookies = append(x.reply.setCookies, stepUpCookie+"="+strconv.FormatInt(x.start.Unix(), 10)+
		"; Path=/; Max-Age="+strconv.Itoa(int(stepUpWindow/time.Second))+"; Secure; HttpOnly; SameSite=Lax")
	return r
}

// sentToStepUp is when the browser was last sent to sign in again, if that was of
// late.
func (x *received) sentToStepUp() (sent time.Time, ok bool) {
	for _, line := range x.r.Header["Cookie"] {
		for name, value := range cookiePairs(line) {
			if name != stepUpCookie {
				continue
			}
			seconds, err := strconv.ParseInt(value, 10, 64)
			if moment := time.Unix(seconds, 0); err == nil && x.start.Sub(moment) < stepUpWindow && moment.After(sent) {
				sent, ok = moment, true
			}
		}
	}
	return sent, ok
}

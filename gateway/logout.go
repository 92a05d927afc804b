package gateway

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// judgedAtLogout is how many values of one cookie are looked at: a signature is
// dear, and repeating a cookie costs a sender nothing.
const judgedAtLogout = 4

// publishTimeout bounds how long somebody waits to be signed out.
const publishTimeout = 3 * time.Second

// serveLogout ends the sessions that the SSO cookies name, however old they
// are, and says so only after the write was acknowledged.
func (x *exchange) serveLogout() error {
	if !x.safeFromForgery(nil, nil) {
		return refuseForgery()
	}
	entries := x.sessionsToEnd()
	byForm := x.isFormPost()
	if len(entries) == 0 {
		return x.nothingToLogOut(byForm)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), publishTimeout)
	defer cancel()
	if err := x.g.opts.Revocations.Publish(ctx, entries...); err != nil {
		return &refusal{
			status: http.StatusServiceUnavailable, decision: "unavailable", kind: "unavailable", title: "Not signed out",
			detail: "You could not be signed out, because the sign-out could not be recorded. You are still signed in; try again shortly.",
			reason: "publishing a logout", cause: err, retry: 5,
		}
	}
	for _, cookie := range x.gen.Cookies {
		x.clear = append(x.clear, clearCookie(cookie.Name, x.gen.Domain))
	}
	x.outcome.decision = "logout"
	h := x.w.Header()
	x.decorate(h)
	h.Set("Cache-Control", "no-store")
	if !byForm {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h.Set("Location", x.afterLogout())
	x.w.WriteHeader(http.StatusSeeOther)
	return nil
}

// sessionsToEnd returns one entry for each session, token or subject that the
// SSO cookies prove: each value with a good signature counts, also of two that
// contradict each other.
func (x *exchange) sessionsToEnd() []revocation.Entry {
	var entries []revocation.Entry
	var judged [maxCookies][]string
	for _, line := range x.r.Header["Cookie"] {
		for name, value := range cookiePairs(line) {
			i := cookieIndex(x.gen.Cookies, name)
			if i < 0 || len(judged[i]) == judgedAtLogout || slices.Contains(judged[i], value) {
				continue
			}
			judged[i] = append(judged[i], value)
			claims, err := x.gen.Verifier.VerifySignature(value)
			if err != nil || claims.IssuerName() != x.gen.Cookies[i].Issuer {
				continue
			}
			x.claims = claims // for the record
			entries = append(entries, endOf(claims, x.start))
		}
	}
	return entries
}

// endOf is the revocation that signs out whoever holds these claims: of the
// session where there is one, else of the token, else of everything that its
// subject was issued until now.
func endOf(c *token.Claims, now time.Time) revocation.Entry {
	e := revocation.Entry{Issuer: c.IssuerName()}
	switch {
	case c.Session() != "":
		began := c.AuthTime()
		if began.IsZero() {
			began = c.IssuedAt()
		}
		e.Kind, e.ID, e.Expires = revocation.Session, c.Session(), latest(began.Add(revocation.LongestSession), c.Expires())
	case c.ID() != "":
		e.Kind, e.ID, e.Expires = revocation.Token, c.ID(), c.Expires()
	default:
		e.Kind, e.ID = revocation.Subject, c.Subject()
		e.Moment = latest(now, c.IssuedAt()).Truncate(time.Second)
		e.Expires = latest(e.Moment.Add(revocation.LongestSession), c.Expires())
	}
	return e
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// nothingToLogOut sends a person to the login host, whose own session may still
// live, and tells a program where that is. Nobody is told "signed out".
func (x *exchange) nothingToLogOut(byForm bool) error {
	logoutURL := x.gen.logoutURL()
	x.outcome.decision = "login"
	x.outcome.reason = "no cookie that names a session"
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	if byForm && logoutURL != "" {
		x.decorate(h)
		h.Set("Location", logoutURL)
		x.w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	x.decorate(h)
	h.Set("WWW-Authenticate", `Bearer realm="`+string(x.target.Host)+`"`)
	x.writeProblem(problem.Details{
		Type: problem.Type("unauthenticated"), Title: "Nobody is signed in here", Status: http.StatusUnauthorized, LogoutURL: logoutURL,
	})
	return nil
}

// afterLogout is where a form's sender lands.
func (x *exchange) afterLogout() string {
	if logoutURL := x.gen.logoutURL(); logoutURL != "" {
		return logoutURL + "?done"
	}
	return x.gen.origin(string(x.target.Host)) + "/"
}

// isFormPost reports whether a form was sent, rather than a fetch: a navigation,
// in a frame too.
func (x *exchange) isFormPost() bool {
	return x.r.Header.Get("Sec-Fetch-Mode") == "navigate" || request.WantsDocument(x.r.Header)
}

package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// publishTimeout bounds the wait for the revocation to be written.
const publishTimeout = 3 * time.Second

// serveLogout revokes the sessions of the SSO cookies, expired ones too, and
// answers only after the write was acknowledged.
func (x *decided) serveLogout() error {
	entries := x.authentication.revocations
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), publishTimeout)
	defer cancel()
	if err := x.g.opts.Revocations.Publish(ctx, entries...); err != nil {
		return &refusal{
			status: http.StatusServiceUnavailable, decision: "unavailable", kind: "unavailable", title: "Not signed out",
			detail: "You could not be signed out, because the sign-out could not be recorded. You are still signed in; try again shortly.",
			reason: "publishing the revocation", cause: err, retryAfter: 5,
		}
	}
	for _, cookie := range x.gen.Cookies {
		x.reply.setCookies = append(x.reply.setCookies, clearCookie(cookie.Name, x.gen.Domain))
	}
	x.record.decision = "logout"
	h := x.reply.Header()
	x.reply.setCommonHeaders(h)
	h.Set("Cache-Control", "no-store")
	if !x.isFormPost() {
		x.reply.WriteHeader(http.StatusNoContent)
		return nil
	}
	h.Set("Location", x.postLogoutRedirect())
	x.reply.WriteHeader(http.StatusSeeOther)
	return nil
}

// readRevocations finds the sessions, tokens or subjects that the SSO cookies prove,
// and that a logout ends: each value with a good signature counts, also of two
// that contradict each other, however old it is. Where there are more than can be
// verified, nothing is ended: "signed out" would not be true of the rest.
func (x *authentication) readRevocations() error {
	credentials := readCredentials(x.r.Header, x.gen.Cookies)
	for i, cookie := range x.gen.Cookies {
		sent := &credentials.cookies[i]
		if !sent.sent {
			continue
		}
		signed, err := x.signedValues(sent, cookie.Issuer)
		switch {
		case errors.Is(err, errCookieConflict):
			x.refuseCookie(cookie, reasonConflict)
			return refuseTooManyCookies(cookie.Name)
		case err != nil:
			return refuseUnavailable("the JWKS of the issuer of the cookie " + cookie.Name + " is not loaded")
		}
		for _, v := range signed {
			if !namesLiving(v.claims, x.start) {
				x.refuseCookie(cookie, "expired")
				continue
			}
			x.claims, x.byCookie = v.claims, true
			x.principal = x.gen.principalOf(v.claims)
			x.revocations = append(x.revocations, revocationFor(v.claims, x.start))
		}
	}
	return nil
}

// namesLiving reports whether a token may still sign out: one that names a session
// or itself always, and one that names only its subject until it has expired. A
// token of years ago would otherwise end what the subject has today.
func namesLiving(c *token.Claims, now time.Time) bool {
	return c.Session() != "" || c.ID() != "" || now.Before(c.Expires())
}

// revocationFor is the revocation that signs out whoever holds these claims: of the
// session where there is one, else of the token, else of everything that its
// subject was issued until now.
func revocationFor(c *token.Claims, now time.Time) revocation.Entry {
	e := revocation.Entry{Issuer: c.IssuerName()}
	switch {
	case c.Session() != "":
		began := c.AuthTime()
		if began.IsZero() {
			began = c.IssuedAt()
		}
		e.Kind, e.ID, e.Expires = revocation.Session, c.Session(), latest(began.Add(token.LongestSession), c.Expires())
	case c.ID() != "":
		e.Kind, e.ID, e.Expires = revocation.Token, c.ID(), c.Expires()
	default:
		e.Kind, e.ID = revocation.Subject, revocation.SubjectID(c.Subject())
		e.Cutoff = latest(now, c.IssuedAt()).Truncate(time.Second)
		e.Expires = latest(e.Cutoff.Add(token.LongestSession), c.Expires())
	}
	return e
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// refuseLogout is for a sign-out without a cookie that names a session: a person
// is sent to the login host, whose own session may still live, and a program is
// told where that is. Nobody is told "signed out".
func refuseLogout(reason string) error {
	return &refusal{
		status: http.StatusUnauthorized, decision: "login", kind: "unauthenticated", title: "Nobody is signed in here",
		detail: "Nobody is signed in here.", reason: reason, logout: true,
	}
}

// postLogoutRedirect is where a form's sender is redirected to.
func (x *decided) postLogoutRedirect() string {
	if logoutURL := x.gen.logoutURL(); logoutURL != "" {
		return logoutURL + "?done"
	}
	return x.gen.origin(string(x.Name)) + "/"
}

// isFormPost reports whether a form was sent, rather than a fetch: a navigation,
// in a frame too.
func (x *received) isFormPost() bool {
	return x.r.Header.Get("Sec-Fetch-Mode") == "navigate" || request.WantsDocument(x.r.Header)
}

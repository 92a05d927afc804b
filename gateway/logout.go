package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
)

// publishTimeout bounds the wait for the revocation to be written.
const publishTimeout = 3 * time.Second

// serveLogout revokes the sessions of the SSO cookies, expired ones too, and
// answers only after the write was acknowledged.
func (x *decided) serveLogout() error {
	entries := x.authentication.revocations
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), publishTimeout)
	defer cancel()
	err := x.g.opts.Revocations.Publish(ctx, entries...)
	x.auditLogout(err)
	if err != nil {
		return &refusal{
			status: http.StatusServiceUnavailable, decision: "unavailable", kind: "unavailable", title: "Not signed out",
			detail: "You could not be signed out, because the sign-out could not be recorded. You are still signed in; try again shortly.",
			reason: "publishing the revocation", cause: err, retryAfter: 5,
		}
	}
	for _, cookie := range x.gen.Cookies {
		x.reply.setCookies = append(x.reply.setCookies, clearCookie(cookie.Name, x.gen.Domain))
	}
	if err := x.setSignedOutCookie(); err != nil {
		return err
	}
	x.record.decision = "logout"
	h := x.reply.Header()
	x.reply.setCommonHeaders(h)
	h.Set("Cache-Control", "no-store")
	if x.g.opts.ClearSiteData != "" {
		h.Set("Clear-Site-Data", x.g.opts.ClearSiteData)
	}
	if !x.isFormPost() {
		x.reply.WriteHeader(http.StatusNoContent)
		return nil
	}
	h.Set("Location", x.postLogoutRedirect())
	h.Set("Referrer-Policy", "origin") // the login host has to know which host's pages are to be forgotten
	x.reply.WriteHeader(http.StatusSeeOther)
	return nil
}

// serveClear has the browser forget the pages of this host, from the page of the login host that says that somebody is signed
// out: a page that was left by the sign-out itself is kept for the back button only when that page is there, and what the
// answer to the sign-out said of it came before. It is an image of nothing. Where somebody is signed in, and to pages of
// other sites, it says nothing: what a browser keeps is worth keeping.
func (x *decided) serveClear() error {
	h := x.reply.Header()
	site := x.r.Header.Get("Sec-Fetch-Site")
	if x.g.opts.ClearSiteData != "" && (site == "same-site" || site == "same-origin") && !readCredentials(x.r.Header, x.gen.Cookies).hasCookie {
		h.Set("Clear-Site-Data", x.g.opts.ClearSiteData)
	}
	x.reply.setCommonHeaders(h)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "image/svg+xml")
	h.Set("X-Content-Type-Options", "nosniff")
	x.reply.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		x.reply.write([]byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`))
	}
	return nil
}

// serveRemoveCookies has the browser remove every cookie of the registered domain, at
// the wish of a person whose sign-in cookies could not be told apart. It ends no session.
func (x *decided) serveRemoveCookies() error {
	for _, cookie := range x.gen.Cookies { // for browsers that do not know Clear-Site-Data
		x.reply.setCookies = append(x.reply.setCookies, clearCookie(cookie.Name, x.gen.Domain), clearHostCookie(cookie.Name))
	}
	h := x.reply.Header()
	x.reply.setCommonHeaders(h)
	h.Set("Cache-Control", "no-store")
	h.Set("Clear-Site-Data", `"cookies"`)
	if !x.isFormPost() {
		x.reply.WriteHeader(http.StatusNoContent)
		return nil
	}
	x.writePage(http.StatusOK, page{
		Title: "Your cookies are removed",
		Detail: "Nobody is signed in with this browser any more. A sign-in that could not be checked was not ended for whoever else " +
			"has its cookie; it ends by itself.",
		LoginURL: x.gen.loginURL(x.gen.origin(string(x.Name)) + "/"),
	})
	return nil
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

// postLogoutRedirect is where a form's sender is redirected to.
func (x *decided) postLogoutRedirect() string {
	if logoutURL := x.gen.logoutURL(); logoutURL != "" {
		return logoutURL + "?done"
	}
	return x.gen.origin(string(x.Name)) + "/"
}

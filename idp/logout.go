package idp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/idp/pages"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
)

// A gateway that has just ended a session sends the browser here at once, and its revocation may arrive a little later.
const (
	settleWithin = time.Second
	settleEvery  = 10 * time.Millisecond
)

// signedIn is what a browser's cookies prove: the session of the login host, and those that its SSO cookies name.
type signedIn struct {
	// lives says that something of it still opens doors.
	lives bool
	// session is the id of the login host's session, where it lives.
	session string
	entries []revocation.Entry
}

// whoIsSignedIn looks at the cookies. An SSO cookie with a good signature names its session, however old it is.
func (x *visit) whoIsSignedIn() (s signedIn, err error) {
	if err := x.fresh(); err != nil {
		return signedIn{}, err
	}
	now := x.idp.o.Now()
	if secret, ok := x.session(); ok {
		l, err := x.idp.directory.findSession(x.r.Context(), secret)
		if err != nil && !errors.Is(err, ErrUnknownSession) {
			return signedIn{}, err
		}
		if err == nil {
			s = signedIn{lives: true, session: l.ID, entries: []revocation.Entry{sessionEntry(l.ID, l.Expires)}}
		}
	}
	for _, cookie := range x.r.CookiesNamed(x.idp.o.CookieName) {
		claims, err := x.idp.verifier.VerifySignature(cookie.Value)
		if err != nil || claims.Session() == s.session {
			continue
		}
		s.entries = append(s.entries, sessionEntry(claims.Session(), claims.AuthTime().Add(longestSession)))
		s.lives = s.lives || claims.Expires().After(now) && !x.idp.o.Revocations.SessionRevoked(token.OwnIssuer, claims.Session())
	}
	return s, nil
}

// showLogout asks whether to sign out. ?done is where a sign-out ends: it says so only where nothing lives any more.
func (x *visit) showLogout() error {
	done := x.r.URL.Query().Has("done")
	s, err := x.whoIsSignedIn()
	if err == nil && done && s.lives {
		s, err = x.settled()
	}
	if err != nil {
		return err
	}
	if s.lives {
		return x.logoutPage(http.StatusOK, s, "")
	}
	x.clearCookies()
	x.page(http.StatusOK, pages.SignedOut{Done: done})
	return nil
}

// settled waits a moment for a sign-out that is on its way.
func (x *visit) settled() (s signedIn, err error) {
	ctx, cancel := context.WithTimeout(x.r.Context(), settleWithin)
	defer cancel()
	ticker := time.NewTicker(settleEvery)
	defer ticker.Stop()
	for {
		if s, err = x.whoIsSignedIn(); err != nil || !s.lives {
			return s, err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return s, nil
		}
	}
}

func (x *visit) logoutPage(status int, s signedIn, wrong string) error {
	x.page(status, pages.Logout{Token: x.formToken(logoutForm, s.session), TokenField: formField, Error: wrong})
	return nil
}

// logout takes the form, and ends what the browser's cookies prove.
func (x *visit) logout() error {
	form, err := x.readForm()
	if err != nil {
		return err
	}
	s, err := x.whoIsSignedIn()
	if err != nil {
		return stillSignedIn(err)
	}
	if !x.formGood(form, logoutForm, s.session) {
		return x.logoutPage(http.StatusForbidden, s, saysOld)
	}
	if err := x.idp.directory.endSessions(x.r.Context(), s.entries...); err != nil {
		return stillSignedIn(err)
	}
	x.log("signed out", "sessions", len(s.entries))
	x.clearCookies()
	x.redirect(http.StatusSeeOther, "/logout?done")
	return nil
}

// stillSignedIn is what is said when a sign-out could not be recorded: never that it happened.
func stillSignedIn(cause error) error {
	return &refusal{
		status: http.StatusServiceUnavailable, kind: "unavailable", title: "You are still signed in",
		detail: "You could not be signed out, because it could not be recorded. Please try again shortly.",
		retry:  5 * time.Second, cause: cause,
	}
}

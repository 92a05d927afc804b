package idp

import (
	"context"
	"errors"
	"net/http"
	"slices"
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

// saysTooManyCookies is said to who brings more SSO cookies than are judged.
const saysTooManyCookies = "Your browser sends too many sign-in cookies to tell whether one of them still works. " +
	"Please delete the cookies of this site and of its sister sites, then sign out again."

// signedIn is what a browser's cookies prove: the session of the login host, and those that its SSO cookies name.
type signedIn struct {
	// session is the id of the login host's session, where it lives.
	session string
	// entries end everything that was named.
	entries []revocation.Entry
	// open are the ids of those that still open doors.
	open []string
	// unclear says that there were more SSO cookies than are judged, so that none was.
	unclear bool
}

// forget drops what the revocation list has named meanwhile. It asks nobody but the list, and so costs next to nothing.
func (s *signedIn) forget(list Revocations) {
	s.open = slices.DeleteFunc(s.open, func(id string) bool { return list.SessionRevoked(token.OwnIssuer, id) })
	if !slices.Contains(s.open, s.session) {
		s.session = ""
	}
}

// whoIsSignedIn looks at the cookies. An SSO cookie with a good signature names its session, however old it is.
func (x *visit) whoIsSignedIn() (s signedIn, err error) {
	if err := x.fresh(); err != nil {
		return signedIn{}, err
	}
	if secret, ok := x.session(); ok {
		l, err := x.idp.directory.findSession(x.r.Context(), secret)
		if err != nil && !errors.Is(err, ErrUnknownSession) {
			return signedIn{}, err
		}
		if err == nil {
			s = signedIn{session: l.ID, open: []string{l.ID}, entries: []revocation.Entry{sessionEntry(l.ID, l.Expires)}}
		}
	}
	values, ok := x.ssoCookies()
	s.unclear = !ok
	for _, value := range values {
		claims, err := x.idp.verifier.VerifySignature(value)
		if err != nil || claims.Session() == s.session {
			continue
		}
		s.entries = append(s.entries, sessionEntry(claims.Session(), claims.AuthTime().Add(revocation.LongestSession)))
		if claims.Expires().After(x.idp.o.Now()) {
			s.open = append(s.open, claims.Session())
		}
	}
	s.forget(x.idp.o.Revocations)
	return s, nil
}

// showLogout asks whether to sign out. ?done is where a sign-out ends: it says so only where nothing lives any more.
func (x *visit) showLogout() error {
	done := x.r.URL.Query().Has("done")
	s, err := x.whoIsSignedIn()
	if err != nil {
		return err
	}
	if done {
		x.settle(&s)
	}
	switch {
	case s.unclear:
		return x.logoutPage(http.StatusOK, s, saysTooManyCookies)
	case len(s.open) > 0:
		return x.logoutPage(http.StatusOK, s, "")
	}
	x.clearCookies()
	x.page(http.StatusOK, pages.SignedOut{Done: done})
	return nil
}

// settle waits a moment for a sign-out that is on its way.
func (x *visit) settle(s *signedIn) {
	ctx, cancel := context.WithTimeout(x.r.Context(), settleWithin)
	defer cancel()
	ticker := time.NewTicker(settleEvery)
	defer ticker.Stop()
	for len(s.open) > 0 {
		select {
		case <-ticker.C:
			s.forget(x.idp.o.Revocations)
		case <-ctx.Done():
			return
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

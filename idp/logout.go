package idp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/idp/internal/pages"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// A gateway that has just ended a session sends the browser here at once, and its revocation may arrive a little later.
const (
	revocationWait = time.Second
	revocationPoll = 10 * time.Millisecond
)

// cookieSessions is what a browser's cookies prove: the session of the login host, and those that its SSO cookies name.
type cookieSessions struct {
	// session is the id of the login host's session, where it lives.
	session string
	// entries end everything that was named.
	entries []revocation.Entry
	// people are whose they are, one of each entry.
	people []audit.Actor
	// active are the ids of those that are still active.
	active []string
	// tooManyCookies says that there were more SSO cookies than are verified, so that what they name is not known.
	tooManyCookies bool
}

// dropRevoked drops what the revocation list has named meanwhile. It asks nobody but the list, and so costs next to nothing.
func (s *cookieSessions) dropRevoked(list Revocations) {
	s.active = slices.DeleteFunc(s.active, func(id string) bool { return list.SessionRevoked(token.OwnIssuer, id) })
	if !slices.Contains(s.active, s.session) {
		s.session = ""
	}
}

// sessionsFromCookies looks at the cookies. An SSO cookie with a good signature names its session while it has not expired, and
// after that while it stands for the session: what another token took the place of ends nothing.
func (x *exchange) sessionsFromCookies() (s cookieSessions, err error) {
	if err := x.checkStaleness(); err != nil {
		return cookieSessions{}, err
	}
	if secret, ok := x.readSession(); ok {
		l, err := x.idp.directory.findSession(x.r.Context(), secret)
		if err != nil && !errors.Is(err, ErrUnknownSession) {
			return cookieSessions{}, err
		}
		if err == nil {
			s = cookieSessions{session: l.ID, active: []string{l.ID}, entries: []revocation.Entry{sessionEntry(l.ID, l.Expires)}, people: []audit.Actor{*actorOf(l)}}
		}
	}
	signed, err := x.idp.verifier.SignedValues(token.OwnIssuer, nil, request.CookieValues(x.r.Header, x.idp.o.CookieName))
	if errors.Is(err, token.ErrKeysNotLoaded) {
		return cookieSessions{}, err
	}
	s.tooManyCookies = errors.Is(err, token.ErrTooManyValues)
	for _, value := range signed {
		claims := value.Claims
		if claims.Session() == s.session {
			continue
		}
		list, now := x.idp.o.Revocations, x.idp.o.Now()
		if list.HandleRevoked(token.OwnIssuer, claims.ID(), claims.Session(), claims.IssuedAt()) {
			continue // its session is over, or it was taken back while that goes on
		}
		cutoff, cut := list.SubjectCutoff(token.OwnIssuer, claims.Subject())
		good := claims.Expires().After(now) && (!cut || claims.IssuedAt().After(cutoff))
		if !good {
			if good, err = x.idp.sessions.identifiesSession(x.r.Context(), claims); err != nil {
				return cookieSessions{}, err
			}
		}
		if good {
			s.entries = append(s.entries, sessionEntry(claims.Session(), claims.AuthTime().Add(token.LongestSession)))
			s.people = append(s.people, audit.Actor{Session: claims.Session(), User: claims.User(), Subject: claims.Subject()})
			s.active = append(s.active, claims.Session())
		}
	}
	s.dropRevoked(x.idp.o.Revocations)
	return s, nil
}

// showLogout asks whether to sign out. ?done is where a sign-out ends: it says so only where nothing lives any more.
func (x *exchange) showLogout() error {
	done := x.r.URL.Query().Has("done")
	s, err := x.sessionsFromCookies()
	if err != nil {
		return err
	}
	if done {
		x.awaitRevocation(&s)
	}
	switch {
	case s.tooManyCookies:
		return x.tooManyCookiesPage(s)
	case len(s.active) > 0:
		return x.logoutPage(http.StatusOK, s, "")
	}
	x.clearSite()
	out := pages.SignedOut{Done: done}
	if from := x.referrer(); done && x.idp.o.ClearSiteData != "" && from.origin != "" {
		out.Clear = from.origin + clearPath
	}
	x.page(http.StatusOK, out)
	return nil
}

// awaitRevocation waits a moment for a revocation that is still on its way.
func (x *exchange) awaitRevocation(s *cookieSessions) {
	ctx, cancel := context.WithTimeout(x.r.Context(), revocationWait)
	defer cancel()
	ticker := time.NewTicker(revocationPoll)
	defer ticker.Stop()
	for waiting := true; waiting && len(s.active) > 0; s.dropRevoked(x.idp.o.Revocations) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			waiting = false // but looks once more: it may have arrived while this process did not run
		}
	}
}

func (x *exchange) logoutPage(status int, s cookieSessions, message string) error {
	x.page(status, pages.Logout{Token: x.csrfToken(logoutForm, s.session), TokenField: csrfField, Error: message})
	return nil
}

// readLogoutForm reads a form of that purpose, and what the browser's cookies prove. Where the form does not count, a page has
// said so.
func (x *exchange) readLogoutForm(purpose string) (s cookieSessions, counts bool, err error) {
	form, err := x.readForm()
	if err != nil {
		return s, false, err
	}
	if s, err = x.sessionsFromCookies(); err != nil {
		return s, false, logoutFailed(err)
	}
	if !x.validCSRFToken(form, purpose, s.session) {
		return s, false, x.logoutPage(http.StatusForbidden, s, msgBadCSRFToken)
	}
	return s, true, nil
}

// revokeCookieSessions ends what the cookies prove, and records it.
func (x *exchange) revokeCookieSessions(s cookieSessions) error {
	err := x.idp.directory.revokeSessions(x.r.Context(), s.entries...)
	x.auditLogout(s.people, err)
	if err != nil {
		return logoutFailed(err)
	}
	return nil
}

// logout takes the form, and ends what the browser's cookies prove.
func (x *exchange) logout() error {
	s, counts, err := x.readLogoutForm(logoutForm)
	if err != nil || !counts {
		return err
	}
	if s.tooManyCookies { // "signed out" would not be true of the rest
		return x.tooManyCookiesPage(s)
	}
	if err := x.revokeCookieSessions(s); err != nil {
		return err
	}
	x.log("signed out", "sessions", len(s.entries))
	x.clearSite()
	x.redirect(http.StatusSeeOther, "/logout?done")
	return nil
}

// clearSite has the browser forget the login, and what else is configured, such as pages that its back button would show.
func (x *exchange) clearSite() {
	x.clearCookies()
	if x.idp.o.ClearSiteData != "" && (x.r.Method == http.MethodPost || !x.isBackground()) {
		x.w.Header().Set("Clear-Site-Data", x.idp.o.ClearSiteData)
	}
}

// tooManyCookiesPage explains that nothing was ended, and has a button that removes the cookies.
func (x *exchange) tooManyCookiesPage(s cookieSessions) error {
	x.page(http.StatusConflict, pages.TooManyCookies{Token: x.csrfToken(cookiesForm, s.session), TokenField: csrfField})
	return nil
}

// removeCookies takes that button's form: it ends what is known, and has the browser remove every cookie of the
// registered domain, which only a person may want.
func (x *exchange) removeCookies() error {
	s, counts, err := x.readLogoutForm(cookiesForm)
	if err != nil || !counts {
		return err
	}
	if err := x.revokeCookieSessions(s); err != nil {
		return err
	}
	x.log("cookies removed", "sessions", len(s.entries))
	x.clearCookies()
	x.w.Header().Set("Clear-Site-Data", `"cookies"`)
	x.page(http.StatusOK, pages.CookiesRemoved{})
	return nil
}

// logoutFailed is what is said when a sign-out could not be recorded: never that it happened.
func logoutFailed(cause error) error {
	return &refusal{
		status: http.StatusServiceUnavailable, kind: "unavailable", title: "You are still signed in",
		detail: "You could not be signed out, because it could not be recorded. Please try again shortly.",
		retry:  5 * time.Second, cause: cause,
	}
}

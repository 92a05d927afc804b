package idp

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/viloforge/vilogate/idp/internal/pages"
)

// requireSession returns the session of the login host, or the refusal that sends people to sign in.
func (x *exchange) requireSession() (activeSession, error) {
	unauthenticated := &refusal{
		status: http.StatusUnauthorized, kind: "unauthenticated", title: "Sign in to continue",
		detail: "You need to sign in to see this page.", login: true,
	}
	secret, ok := x.readSession()
	if !ok {
		return activeSession{}, unauthenticated
	}
	if err := x.checkStaleness(); err != nil {
		return activeSession{}, err
	}
	l, err := x.idp.directory.findSession(x.r.Context(), secret)
	if errors.Is(err, ErrUnknownSession) {
		x.setCookie(sessionCookie, "", -1)
		return activeSession{}, unauthenticated
	}
	return l, err
}

// The account page's query says what was just done: that the password was changed, or which session was ended.
const (
	doneChanged = "changed"
	doneEnded   = "ended"
	endedOthers = "others" // all but this one
)

// accountDone is the account page that says what was done, and leads back as this one does.
func (x *exchange) accountDone(query string) string {
	back := x.back()
	if back.origin == "" {
		return accountPath + "?" + query
	}
	return back.accountURL() + "&" + query
}

// doneMessage says what was just done, where that is true: anybody may have made the address.
func doneMessage(query url.Values, sessions []Session) string {
	ended := query.Get(doneEnded)
	switch {
	case query.Has(doneChanged):
		return "Your password is changed. Your other sessions are over."
	case ended == endedOthers && len(sessions) == 1:
		return "Your other sessions are over."
	case ended == "" || ended == endedOthers || slices.ContainsFunc(sessions, func(s Session) bool { return s.ID == ended }):
		return ""
	default:
		return "That session is over."
	}
}

// accountPage shows people who they are and where they are signed in: a message says what was wrong, or else the query what was
// done.
func (x *exchange) accountPage(status int, l activeSession, message string) error {
	sessions, err := x.idp.directory.sessions(x.r.Context(), l.account.ID, "")
	if err != nil {
		return err
	}
	back := x.back()
	page := pages.Account{
		Action: back.accountURL(), BackURL: back.uri, BackHost: back.host(),
		TokenField: csrfField, Token: x.csrfToken(accountForm, l.ID), LogoutToken: x.csrfToken(logoutForm, l.ID),
		User: l.account.Name, FullName: l.account.FullName, Email: l.account.Email, Roles: l.account.Roles,
		Sessions: listed(sessions, l.ID), PasswordFirst: x.needsRecentLogin(l), Error: message,
	}
	if x.r.Method != http.MethodPost {
		page.Done = doneMessage(x.r.URL.Query(), sessions)
	}
	x.page(status, page)
	return nil
}

// listed are sessions as the page lists them: the one of id current first, then by their last use.
func listed(sessions []Session, current string) []pages.Session {
	slices.SortStableFunc(sessions, func(a, b Session) int {
		if (a.ID == current) != (b.ID == current) {
			if a.ID == current {
				return -1
			}
			return 1
		}
		return b.Used.Compare(a.Used)
	})
	rows := make([]pages.Session, len(sessions))
	for i, s := range sessions {
		rows[i] = pages.Session{
			ID: s.ID, Browser: describeUserAgent(s.UserAgent), Network: cmp.Or(s.Address, "an unknown address"), Since: s.AuthTime.UTC(), Used: s.Used.UTC(),
			Current: s.ID == current, New: s.NewDevice,
		}
	}
	return rows
}

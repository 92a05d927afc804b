package idp

import (
	"errors"
	"net/http"
	"slices"

	"github.com/viloforge/vilogate/policies/request"
)

// sessionList is what GET /.vilogate/sessions answers: the caller's sessions, and the CSRF token that POST wants, by the name of
// the field that it comes in.
type sessionList struct {
	Sessions  []sessionListEntry `json:"sessions"`
	CSRFToken string             `json:"form_token"`
}

// sessionListEntry is one of them. Times are seconds since 1970, as in tokens.
type sessionListEntry struct {
	ID        string `json:"id"`
	Browser   string `json:"browser"` // in words of ours
	Address   string `json:"address"` // that it began at
	AuthTime  int64  `json:"auth_time"`
	Used      int64  `json:"used"`
	Expires   int64  `json:"expires"`
	Current   bool   `json:"current"`
	NewDevice bool   `json:"new_device"`
}

// listSessions answers with the caller's sessions, for pages of the login host and for programs. It is no use of the session.
func (x *exchange) listSessions() error {
	if !x.isReadFromOwnOrigin() {
		return errCrossOrigin
	}
	l, err := x.requireSession()
	if err != nil {
		return err
	}
	sessions, err := x.idp.directory.sessions(x.r.Context(), l.account.ID, "")
	if err != nil {
		return err
	}
	answer := sessionList{Sessions: []sessionListEntry{}, CSRFToken: x.csrfToken(accountForm, l.ID)}
	for _, s := range sessions {
		answer.Sessions = append(answer.Sessions, sessionListEntry{
			ID: s.ID, Browser: describeUserAgent(s.UserAgent), Address: s.Address, AuthTime: s.AuthTime.Unix(), Used: s.Used.Unix(),
			Expires: s.Expires.Unix(), Current: s.ID == l.ID, NewDevice: s.NewDevice,
		})
	}
	x.w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	x.json(http.StatusOK, answer)
	return nil
}

// changeSessions takes what the account page's forms take, of a program: do=end with a session's id, or do=others. It answers 204
// once that was acknowledged.
func (x *exchange) changeSessions() error {
	form, err := x.readForm()
	if err != nil {
		return err
	}
	l, err := x.requireSession()
	if err != nil {
		return err
	}
	if !x.validCSRFToken(form, accountForm, l.ID) {
		return errCrossOrigin
	}
	id, others := form.Get("session"), form.Get("do") == doOthers
	switch {
	case !others && form.Get("do") != doEnd:
		return refuseMalformed(errors.New("neither one session nor all others are to be ended"))
	case x.needsRecentLogin(l) && (others || id != l.ID):
		return &refusal{
			status: http.StatusUnauthorized, kind: "step-up", title: "Sign in again", maxAge: recentLogin, login: true,
			detail: "You have to sign in again before you end other sessions.",
		}
	}
	err = x.endSessions(l, id, others)
	switch {
	case errors.Is(err, ErrUnknownSession):
		return &refusal{
			status: http.StatusNotFound, kind: "unknown-session", title: "No such session",
			detail: "That session is not one of yours, or is over already.",
		}
	case err != nil:
		return err
	case !others && id == l.ID:
		x.clearCookies()
	}
	x.status = http.StatusNoContent
	x.w.WriteHeader(x.status)
	return nil
}

// errCrossOrigin refuses what a page of another origin, or a form of another browser, asks for.
var errCrossOrigin = &refusal{
	status: http.StatusForbidden, kind: "csrf", title: "Not allowed from another site",
	detail: "This was asked for by a page of another site, or with a form of another browser.",
}

// isReadFromOwnOrigin reports whether no page of another origin, a sibling's either, makes the request.
func (x *exchange) isReadFromOwnOrigin() bool {
	h := x.r.Header
	foreign := func(origin string) bool { return request.Origin(origin) != request.Origin(x.idp.origin) }
	switch h.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return !slices.ContainsFunc(h["Origin"], foreign)
	default:
		return false
	}
}

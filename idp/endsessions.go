package idp

import (
	"errors"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
)

// What the account page's forms ask for, in their field "do".
const (
	doPassword   = "password"
	doEverywhere = "everywhere"
	doEnd        = "end"    // one session
	doOthers     = "others" // all but this one
)

// endSessions ends sessions of somebody who is signed in: the one of an id, or all but the own where others says so. It returns
// ErrUnknownSession where none of that id is theirs.
func (x *exchange) endSessions(l activeSession, id string, others bool) error {
	var entries []revocation.Entry
	var err error
	if others {
		entries, err = x.idp.directory.revokeOthers(x.r.Context(), l.account.ID, l.ID)
	} else {
		entries, err = x.idp.directory.revokeOne(x.r.Context(), l.account.ID, id)
	}
	if err != nil && !errors.Is(err, errUnrecorded) {
		return err
	}
	x.auditEnded(l, entries, err)
	if err != nil {
		return &refusal{
			status: http.StatusServiceUnavailable, kind: "unavailable", title: "The session goes on",
			detail: "The session could not be ended, because it could not be recorded. Please try again shortly.",
			retry:  5 * time.Second, cause: err,
		}
	}
	x.log("sessions ended", "user", l.account.Name, "subject", l.account.ID, "session", l.ID, "ended", len(entries))
	return nil
}

// passwordFirst sends somebody whose login is not recent to sign in again, and then back to the account page.
func (x *exchange) passwordFirst() error {
	x.redirect(http.StatusSeeOther, x.recentLoginURL(recentLogin))
	return nil
}

// endOne takes the form that ends one session.
func (x *exchange) endOne(l activeSession, id string) error {
	if x.needsRecentLogin(l) && id != l.ID {
		return x.passwordFirst()
	}
	switch err := x.endSessions(l, id, false); {
	case errors.Is(err, ErrUnknownSession):
		return x.accountPage(http.StatusNotFound, l, "That session is not one of yours, or is over already.")
	case err != nil:
		return err
	case id == l.ID:
		x.clearCookies()
		x.redirect(http.StatusSeeOther, "/logout?done")
	default:
		x.redirect(http.StatusSeeOther, x.accountDone(doneEnded+"="+id))
	}
	return nil
}

// endOthers takes the form that ends all sessions but this one.
func (x *exchange) endOthers(l activeSession) error {
	if x.needsRecentLogin(l) {
		return x.passwordFirst()
	}
	if err := x.endSessions(l, "", true); err != nil {
		return err
	}
	x.redirect(http.StatusSeeOther, x.accountDone(doneEnded+"="+endedOthers))
	return nil
}

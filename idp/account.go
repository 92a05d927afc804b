package idp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/viloforge/vilogate/gateway/audit"
)

// showAccount shows people who they are.
func (x *exchange) showAccount() error {
	l, err := x.requireSession()
	if err != nil {
		return err
	}
	if err := x.idp.directory.touchSession(x.r.Context(), l); err != nil {
		return err
	}
	return x.accountPage(http.StatusOK, l, "")
}

// changeAccount takes the forms of the account page.
func (x *exchange) changeAccount() error {
	form, err := x.readForm()
	if err != nil {
		return err
	}
	l, err := x.requireSession()
	if err != nil {
		return err
	}
	if !x.validCSRFToken(form, accountForm, l.ID) {
		return x.accountPage(http.StatusForbidden, l, msgBadCSRFToken)
	}
	switch form.Get("do") {
	case doPassword:
		return x.changePassword(l, form)
	case doEverywhere:
		return x.signOutEverywhere(l)
	case doEnd:
		return x.endOne(l, form.Get("session"))
	case doOthers:
		return x.endOthers(l)
	default:
		return refuseMalformed(fmt.Errorf("the account form asks to do %q", form.Get("do")))
	}
}

// changePassword sets a new password, which ends every other session and every token. The session that did it stays, and
// gets a new token.
func (x *exchange) changePassword(l activeSession, form url.Values) error {
	next := form.Get("new_password")
	invalid := checkPassword(next, l.account.Name, x.idp.o.DB.Demo())
	if invalid == nil && next != form.Get("new_password_again") {
		invalid = errors.New("the new password and its repetition are not the same")
	}
	if invalid != nil {
		return x.accountPage(http.StatusUnprocessableEntity, l, sentence(invalid))
	}
	proven, err := x.authenticate(l.account.Name, form.Get("password"))
	if err != nil {
		refused, ok := errors.AsType[*refusal](err)
		if !ok {
			return err
		}
		x.auditFailure(audit.EventPasswordChange, actorOf(l))
		if refused.status == http.StatusUnauthorized {
			refused.status, refused.detail = http.StatusForbidden, "The current password is not right."
		}
		x.setRefusalHeaders(refused)
		return x.accountPage(refused.status, l, refused.detail)
	}
	hash, err := x.idp.passwords.Hash(x.r.Context(), x.knownClient(l.account.ID), next)
	if err == nil {
		_, err = x.idp.directory.revokeSubject(x.r.Context(), l.account.ID, l.ID, x.idp.directory.newPassword(l.account.ID, hash))
	}
	if err == nil {
		proven.password = hash
	}
	x.rememberBrowser(proven)
	if err != nil {
		return err
	}
	x.auditChange(audit.EventPasswordChange, l)
	x.log("password changed", "user", l.account.Name, "subject", l.account.ID)
	secret, _ := x.readSession()
	return x.redirectBack(secret, redirectURI{uri: x.accountDone(doneChanged), isHome: true})
}

// signOutEverywhere ends all sessions and tokens, this one's too.
func (x *exchange) signOutEverywhere(l activeSession) error {
	ended, err := x.idp.directory.revokeSubject(x.r.Context(), l.account.ID, "", noChange)
	if err != nil {
		return logoutFailed(err)
	}
	x.auditChange(audit.EventLogoutEverywhere, l)
	x.log("signed out everywhere", "user", l.account.Name, "subject", l.account.ID, "sessions", ended)
	x.clearCookies()
	x.redirect(http.StatusSeeOther, "/logout?done")
	return nil
}

// sentence makes an error that speaks of input one for a person.
func sentence(err error) string {
	text := err.Error()
	return string(text[0]-'a'+'A') + text[1:] + "."
}

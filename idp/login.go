package idp

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/idp/pages"
	"github.com/viloforge/vilogate/idp/password"
	"github.com/viloforge/vilogate/policies/request"
)

// maxTyped is the longest user name that is looked at.
const maxTyped = 256

// byPassword is how somebody proved who they are, as RFC 8176 calls it.
const byPassword = "pwd"

// What the form says. It never tells whether it was the name or the password, nor whether there is such a user.
const (
	saysWrong   = "That user name and password do not go together."
	saysTooMany = "Too many failed attempts. Please wait a little, then try again."
	saysBusy    = "Too many people are signing in at this moment. Please try again shortly."
	saysOld     = "The form was from another browser, or your browser does not keep cookies. Please try again."
)

// showLogin sends whoever has a session back with a new access token, and shows everybody else the form; also who has to
// show once more who they are.
func (x *visit) showLogin() error {
	to, asked := x.returns.of(x.r.URL.RawQuery), demandOf(x.r.URL.RawQuery)
	if asked.secondFactor {
		return errNoSecondFactor
	}
	secret, ok := x.session()
	if !ok {
		return x.loginPage(http.StatusOK, to, "", "")
	}
	user, again, err := x.again(secret, asked)
	if again {
		return x.showForm(http.StatusOK, to, pages.Login{User: user, Again: true})
	}
	if err == nil {
		err = x.goBack(secret, to)
	}
	if errors.Is(err, ErrUnknownSession) {
		x.setCookie(sessionCookie, "", -1)
		return x.loginPage(http.StatusOK, to, "", "")
	}
	return err
}

// goBack issues an access token of the session and returns to the address, unless that goes in circles.
func (x *visit) goBack(secret sessionSecret, to returnAddress) error {
	if err := x.fresh(); err != nil {
		return err
	}
	raw, l, err := x.idp.issuer.issue(x.r.Context(), secret)
	if err != nil {
		return err
	}
	now := x.idp.o.Now()
	if !to.home && x.idp.loops.circling(l.ID, to.address, now) {
		x.log("a browser was going in circles", "session", l.ID)
		x.page(http.StatusConflict, pages.Loop{Cookie: x.idp.o.CookieName, Domain: x.idp.o.Domain, Back: to.address})
		return nil
	}
	life := l.Expires.Sub(now)
	x.setCookie(sessionCookie, secret.cookie(), life)
	x.setSSO(raw, life)
	x.redirect(http.StatusSeeOther, to.address)
	return nil
}

// fresh reports errStale when the revocation list is too old to tell whose session lives.
func (x *visit) fresh() error {
	if x.idp.o.Revocations.Stale(x.idp.o.Now()) {
		return errStale
	}
	return nil
}

// loginPage shows the form, with what was wrong with the last one.
func (x *visit) loginPage(status int, to returnAddress, user, wrong string) error {
	return x.showForm(status, to, pages.Login{User: user, Error: wrong})
}

// showForm shows the form with a token of its own.
func (x *visit) showForm(status int, to returnAddress, form pages.Login) error {
	form.Token, form.TokenField, form.To = x.formToken(loginForm, ""), formField, to.host()
	x.page(status, form, to.origin)
	return nil
}

// refuseLogin shows the form again, with the status and the headers of the refusal.
func (x *visit) refuseLogin(r *refusal, to returnAddress, user, says string) error {
	x.decorate(r)
	return x.loginPage(r.status, to, user, says)
}

// login takes the form.
func (x *visit) login() error {
	to := x.returns.of(x.r.URL.RawQuery)
	form, err := x.readForm()
	if err != nil {
		return err
	}
	typed := form.Get("username")
	if len(typed) > maxTyped {
		typed = "" // nobody's name, and not to be sent back
	}
	if !x.formGood(form, loginForm, "") {
		return x.refuseLogin(&refusal{status: http.StatusForbidden}, to, "", saysOld)
	}
	if err := x.fresh(); err != nil {
		return err
	}
	a, err := x.authenticate(accountName(typed), form.Get("password"))
	if refused, ok := errors.AsType[*refusal](err); ok {
		return x.refuseLogin(refused, to, typed, refused.detail)
	} else if err != nil {
		return err
	}
	if err := x.endEarlier(); err != nil {
		return err
	}
	secret, err := x.idp.directory.beginSession(x.r.Context(), beginning{
		account: a, amr: []string{byPassword}, address: request.AddressText(x.client), userAgent: x.r.UserAgent(), max: x.idp.o.SessionMax,
	})
	if err == nil {
		x.log("signed in", "user", a.Name, "subject", a.ID)
		err = x.goBack(secret, to)
	}
	// What was right a moment ago is not any more: the password was changed, or the user disabled.
	if errors.Is(err, errChanged) || errors.Is(err, ErrUnknownSession) {
		return x.refuseLogin(&refusal{status: http.StatusUnauthorized}, to, typed, saysWrong)
	}
	return err
}

// authenticate checks a password. It costs one hash whoever is named, and takes an attempt of the account and of the
// address unless it succeeds. The refusal's detail is what the form says.
func (x *visit) authenticate(name, typed string) (a account, err error) {
	giveBack, err := x.attempt(name)
	if err != nil {
		return account{}, err
	}
	known := false
	if checkUserName(name) == nil {
		a, err = x.idp.directory.findAccount(x.r.Context(), name)
		known = err == nil && !a.Disabled
		if err != nil && !errors.Is(err, ErrUnknownUser) {
			giveBack()
			return account{}, err
		}
	}
	hash := ""
	if known && len(typed) <= maxPassword {
		hash = a.password
	} else {
		typed = "" // as much work, for nobody
	}
	good, err := x.idp.passwords.Check(x.r.Context(), hash, typed)
	switch {
	case errors.Is(err, password.ErrBusy):
		giveBack()
		return account{}, &refusal{status: http.StatusTooManyRequests, retry: 2 * time.Second, detail: saysBusy}
	case err != nil:
		giveBack()
		return account{}, fmt.Errorf("checking a password: %w", err)
	case !good:
		x.log("a login failed", "known", known, "subject", a.ID)
		return account{}, &refusal{status: http.StatusUnauthorized, detail: saysWrong}
	}
	giveBack()
	x.renew(a, typed)
	return a, nil
}

// renew hashes a password that was just proven once more, where its hash is of another cost than today's. It may fail:
// then the next login tries again.
func (x *visit) renew(a account, typed string) {
	if !x.idp.passwords.Outdated(a.password) {
		return
	}
	hash, err := x.idp.passwords.Hash(x.r.Context(), typed)
	if err == nil {
		_, err = x.idp.o.DB.SQL().ExecContext(x.r.Context(), "UPDATE users SET password = ? WHERE id = ? AND password = ?", hash, a.ID, a.password)
	}
	if err != nil {
		x.log("a password was not hashed anew", "subject", a.ID, "error", err)
	}
}

// attempt takes an attempt of the account and of the address, and returns what gives both back.
func (x *visit) attempt(name string) (giveBack func(), err error) {
	now, address := x.idp.o.Now(), request.ClientNetwork(x.client).String()
	wait, ok := x.idp.perAddress.Take(address, now)
	if ok {
		if wait, ok = x.idp.perAccount.Take(name, now); !ok {
			x.idp.perAddress.GiveBack(address)
		}
	}
	if !ok {
		x.log("a login was slowed down", "wait", wait)
		return nil, &refusal{status: http.StatusTooManyRequests, retry: wait, detail: saysTooMany}
	}
	return func() {
		x.idp.perAddress.GiveBack(address)
		x.idp.perAccount.GiveBack(name)
	}, nil
}

// endEarlier ends the session whose cookie was there before the login, whoever planted it.
func (x *visit) endEarlier() error {
	secret, ok := x.session()
	if !ok {
		return nil
	}
	l, err := x.idp.directory.findSession(x.r.Context(), secret)
	switch {
	case errors.Is(err, ErrUnknownSession):
		return nil
	case err != nil:
		return err
	}
	return x.idp.directory.endSessions(x.r.Context(), sessionEntry(l.ID, l.Expires))
}

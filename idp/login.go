package idp

import (
	"errors"
	"net/http"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/idp/internal/pages"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// maxUsernameInput is the longest user name that is looked at.
const maxUsernameInput = 256

// amrPassword is the amr of a login by password (RFC 8176).
const amrPassword = "pwd"

const msgBadCSRFToken = "The form was from another browser, or your browser does not keep cookies. Please try again."

// showLogin sends whoever has a session back with a new access token, and shows everybody else the form; also who has to
// show once more who they are.
func (x *exchange) showLogin() error {
	to, required := x.redirects.resolve(x.r.URL.RawQuery), parseAuthRequirements(x.r.URL.RawQuery)
	if required.mfa {
		return errNoSecondFactor
	}
	secret, ok := x.readSession()
	if !ok {
		return x.loginPage(http.StatusOK, to, "", "")
	}
	if x.isBackground() {
		return errBackground
	}
	if required.selectAccount {
		return x.showForm(http.StatusOK, to, pages.Login{OtherAccount: true})
	}
	user, reauthenticate, err := x.needsReauthentication(secret, required)
	if reauthenticate {
		return x.showForm(http.StatusOK, to, pages.Login{User: user, Reauthenticate: true})
	}
	if err == nil {
		err = x.redirectBack(secret, to)
	}
	if errors.Is(err, ErrUnknownSession) {
		x.setCookie(sessionCookie, "", -1)
		return x.loginPage(http.StatusOK, to, "", "")
	}
	return err
}

// errBackground is for what nobody looks at: it is given no token, and is no use of the session, so that no page of the domain
// keeps one alive.
var errBackground = &refusal{
	status: http.StatusUnauthorized, kind: "unauthenticated", title: "Open this page to sign in",
	detail: "A sign-in begins when somebody opens this page, not when another page fetches it.",
}

// isBackground reports whether a browser says that nobody is on the way to this page.
func (x *exchange) isBackground() bool {
	h := x.r.Header
	return request.IsPrefetch(h) ||
		len(h["Sec-Fetch-Mode"]) > 0 && !request.IsNavigation(x.r.Method, h) && !request.IsFrameNavigation(x.r.Method, h)
}

// redirectBack issues an access token of the session and redirects back to the address, unless that is a redirect loop.
func (x *exchange) redirectBack(secret sessionSecret, to redirectURI) error {
	if err := x.checkStaleness(); err != nil {
		return err
	}
	answer, err := x.idp.issuer.issue(x.r.Context(), secret, x.visit())
	if err != nil {
		return err
	}
	if answer.replaced {
		x.auditReplaced(answer)
	}
	now, l := x.idp.o.Now(), answer.session
	if x.isLoop(to, now) {
		x.log("redirect loop detected", "session", l.ID)
		x.page(http.StatusConflict, pages.Loop{Cookie: x.idp.o.CookieName, Domain: x.idp.o.Domain, Back: to.uri})
		return nil
	}
	life := l.Expires.Sub(now)
	x.setCookie(sessionCookie, secret.cookie(), life)
	x.setSSO(answer.token, life)
	if to.shortened && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead) { // nothing has said so yet
		x.page(http.StatusOK, pages.Shortened{Host: to.host(), Home: to.uri})
		return nil
	}
	x.redirect(http.StatusSeeOther, to.uri)
	return nil
}

// visit is what the browser brings: its SSO cookies, where they can be judged.
func (x *exchange) visit() visit {
	v := visit{client: request.AddressText(x.client)}
	signed, err := x.idp.verifier.SignedValues(token.OwnIssuer, nil, request.CookieValues(x.r.Header, x.idp.o.CookieName))
	if err != nil {
		return v // of too many nobody knows which is the browser's own
	}
	for _, value := range signed {
		v.tokens = append(v.tokens, value.Claims)
	}
	return v
}

// checkStaleness reports errStale when the revocation list is too old to tell whose session lives.
func (x *exchange) checkStaleness() error {
	x.idp.o.Revocations.AwaitSync(x.idp.o.Now())
	if x.idp.o.Revocations.Stale(x.idp.o.Now()) {
		return errStale
	}
	return nil
}

// loginPage shows the form, with what was wrong with the last one.
func (x *exchange) loginPage(status int, to redirectURI, user, message string) error {
	return x.showForm(status, to, pages.Login{User: user, Error: message})
}

// showForm shows the form with a token of its own.
func (x *exchange) showForm(status int, to redirectURI, form pages.Login) error {
	form.Token, form.TokenField, form.ReturnHost, form.Shortened = x.csrfToken(loginForm, ""), csrfField, to.host(), to.shortened
	x.page(status, form, to.origin)
	return nil
}

// refuseLogin shows the form again, with the status and the headers of the refusal.
func (x *exchange) refuseLogin(r *refusal, to redirectURI, user, message string) error {
	x.setRefusalHeaders(r)
	return x.loginPage(r.status, to, user, message)
}

// login takes the form.
func (x *exchange) login() error {
	to := x.redirects.resolve(x.r.URL.RawQuery)
	form, err := x.readForm()
	if err != nil {
		return err
	}
	username := form.Get("username")
	if len(username) > maxUsernameInput {
		username = "" // nobody's name, and not to be sent back
	}
	if !x.validCSRFToken(form, loginForm, "") {
		return x.refuseLogin(&refusal{status: http.StatusForbidden}, to, "", msgBadCSRFToken)
	}
	if err := x.checkStaleness(); err != nil {
		return err
	}
	a, err := x.authenticate(canonicalUserName(username), form.Get("password"))
	if refused, ok := errors.AsType[*refusal](err); ok {
		x.auditFailure(audit.EventLogin, nil)
		return x.refuseLogin(refused, to, username, refused.detail)
	} else if err != nil {
		return err
	}
	since, isNew := x.rememberBrowser(a)
	if err := x.revokePreviousSession(); err != nil {
		return err
	}
	secret, err := x.idp.directory.createSession(x.r.Context(), sessionParams{
		account: a, amr: []string{amrPassword}, address: request.AddressText(x.client), userAgent: x.r.UserAgent(), max: x.idp.o.SessionMax,
		since: since, tokenTTL: x.idp.o.AccessTTL,
	})
	if err == nil {
		err = x.auditLogin(secret, isNew)
	}
	if err == nil {
		x.log("signed in", "user", a.Name, "subject", a.ID, "new_device", isNew)
		err = x.redirectBack(secret, to)
	}
	// What was right a moment ago is not any more: the password was changed, or the user disabled.
	if errors.Is(err, errChanged) || errors.Is(err, ErrUnknownSession) {
		x.failed = failedLogin{a, failedChanged}
		x.auditFailure(audit.EventLogin, nil)
		return x.refuseLogin(&refusal{status: http.StatusUnauthorized}, to, username, msgBadCredentials)
	}
	return err
}

// revokePreviousSession ends the session whose cookie was there before the login, whoever planted it (session fixation).
func (x *exchange) revokePreviousSession() error {
	secret, ok := x.readSession()
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
	return x.idp.directory.revokeSessions(x.r.Context(), x.idp.directory.replacedEntry(l.account.ID, l.ID, l.Used, l.Expires, l.tokenTTL))
}

package gateway

import (
	"errors"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// conflictCookie marks a browser whose two contradicting SSO cookies were
// cleared a moment ago. If they come back, a page explains it: another redirect
// would be a loop.
const conflictCookie = "__Host-vilogate-conflict"

// conflictWindow is how long that moment lasts.
const conflictWindow = 2 * time.Minute

// identity is who asks, as policies see it; nil for anonymous.
func (x *authentication) identity() *policies.Identity {
	if x.principal == nil {
		return nil
	}
	return x.principal.identity(x.byCookie)
}

// authenticate finds out who asks: the Bearer token first, then the SSO cookies;
// the cookies alone where no configured issuer made the token (foreignBearer). It refuses only what
// no route could let pass: on a public route a bad cookie is anonymous, and trouble of
// our own makes everybody anonymous.
func (x *authentication) authenticate(l *located) error {
	x.located = l
	if l.Endpoint == policies.Logout {
		return x.readRevocations()
	}
	x.credentials = readCredentials(x.r.Header, x.gen.Cookies)
	route := x.Match.Route
	public := route != nil && route.Public() || route == nil && x.Match.AllPublic
	optional := route != nil && route.Optional
	if optional && !x.credentials.hasBearer && !x.sentSession() {
		return nil // another scheme, or none
	}
	if x.credentials.hasBearer || x.sentSession() {
		x.g.opts.Revocations.AwaitSync(x.start)
	}
	stale := x.g.opts.Revocations.Stale(x.start)
	if stale && !public && (route == nil || !route.OnStaleAllow) {
		return refuseUnavailable("stale revocation view")
	}
	err := x.verifyCredentials(public)
	if stale && public {
		x.continueAnonymous()
	}
	if err == nil && optional && x.principal == nil && (x.credentials.hasBearer || x.sentSession()) {
		return refuseInvalidCookie() // who shows a credential means it
	}
	return err
}

// continueAnonymous lets the request go on as anonymous. A credential that proved
// somebody goes no further.
func (x *authentication) continueAnonymous() {
	if x.principal != nil && !x.byCookie {
		x.forwardBearer = false
	}
	x.principal, x.claims, x.byCookie, x.byHeader, x.tokenHeader, x.forwardCookie, x.handle = nil, nil, false, false, false, cookiePair{}, handle{}
}

func (x *authentication) verifyCredentials(public bool) error {
	if x.credentials.hasBearer {
		x.forwardBearer = false
		return x.verifyBearer(public)
	}
	if !x.sentSession() {
		return nil
	}
	err := x.verifySession(public)
	if public {
		return nil
	}
	return err
}

// sentSession reports whether a browser sent a cookie of ours, or a proxy a token in
// its place.
func (x *authentication) sentSession() bool {
	return x.credentials.hasCookie || x.gen.hasTokenHeader(x.r.Header)
}

// verifyBearer never falls back to the cookies where the token may be of an issuer
// of ours: who sends one means it.
func (x *authentication) verifyBearer(public bool) error {
	claims, err := x.verify(x.credentials.bearer)
	switch {
	case err == nil:
		return x.acceptBearer(claims, public)
	case errors.Is(err, token.ErrUnknownIssuer) && x.credentials.subprotocol:
		x.credentials.hasBearer, x.credentials.subprotocol = false, false // a name like any other
		return x.verifyCredentials(public)
	case errors.Is(err, token.ErrUnknownIssuer):
		return x.foreignBearer(public, err)
	case errors.Is(err, token.ErrKeysNotLoaded), errors.Is(err, token.ErrTooManyKeys):
		if public {
			return nil
		}
		return refuseKeysMissing("the token's issuer", err)
	default:
		return refuseInvalidToken(err)
	}
}

// acceptBearer takes a good Bearer token, unless a proxy before the gateway says that
// somebody else asks.
func (x *authentication) acceptBearer(claims *token.Claims, public bool) error {
	ofProxy, err := x.verifyTokenHeaders()
	if err == nil && ofProxy != nil && !samePerson(ofProxy, claims) {
		err = errOtherSubject
	}
	if err != nil {
		return refuseTokenHeader(err, public)
	}
	x.setPrincipal(claims)
	x.tokenHeader = ofProxy != nil
	x.forwardBearer = x.forwardsToken(claims)
	return nil
}

// refuseTokenHeader is for a header with a token that contradicts, or that cannot be
// judged: a public route goes on as anonymous.
func refuseTokenHeader(err error, public bool) error {
	switch {
	case public:
		return nil
	case errors.Is(err, errOtherSubject):
		return refuseTwoPeople()
	}
	return refuseKeysMissing("the issuer of a header with a token", err)
}

// foreignBearer is for a Bearer token that no configured issuer could have made.
// Beside a good cookie policies decide what becomes of it and of the request
// (policies.Answer.ForeignBearer). Without one it passes on public routes as it was
// sent, and is refused on others. What some server could take for another token than
// the one that was judged passes nowhere.
func (x *authentication) foreignBearer(public bool, cause error) error {
	oneToken := request.IsOneToken(x.credentials.bearer)
	x.forwardBearer = public && oneToken
	if x.Kind == policies.Routed && x.sentSession() && oneToken {
		passes := x.Match.Route != nil && x.Match.Route.BearerPass
		err := x.verifySession(public)
		if !passes {
			x.setCookies, err = nil, nil // the cookies do not count, and are left alone
		}
		switch {
		case x.principal != nil:
			x.forwardBearer = public || passes
			return nil
		case err != nil && !public:
			return err
		}
	}
	if public {
		return nil
	}
	return refuseInvalidToken(cause)
}

// verifySession takes the token that a proxy before the gateway has put into a header,
// else the SSO cookies. The cookie that would count beside the header has to be of the
// same person: of two, neither counts.
func (x *authentication) verifySession(public bool) error {
	ofProxy, err := x.verifyTokenHeaders()
	if err != nil {
		return refuseTokenHeader(err, false)
	}
	if ofProxy == nil {
		return x.verifyCookies(public)
	}
	err = x.verifyCookies(public)
	ofCookie := x.claims
	x.continueAnonymous()
	switch {
	case ofCookie != nil && !samePerson(ofProxy, ofCookie):
		return refuseTwoPeople()
	case err != nil:
		return err // a cookie that cannot be judged may be of somebody else
	}
	x.setPrincipal(ofProxy)
	x.byCookie, x.byHeader, x.tokenHeader = true, true, true
	return nil
}

// verifyCookies takes the first SSO cookie that verifies, our own IdP's before
// the others'. It returns an error only when keys are missing, or the identity
// provider does not say whether a session lives, and nobody was found. Why a cookie did not count stands in the record.
func (x *authentication) verifyCookies(public bool) error {
	var keysMissing error
	for i, cookie := range x.gen.Cookies {
		sent := &x.credentials.cookies[i]
		if !sent.sent {
			continue
		}
		value, claims, err := x.verifyCookie(cookie, sent)
		if err == nil {
			x.renewEarly(cookie, value, claims)
		} else {
			claims, err = x.checkHandle(cookie, public, err)
		}
		switch {
		case err == nil:
			x.setPrincipal(claims)
			x.byCookie = true
			if x.forwardsToken(claims) {
				x.forwardCookie = cookiePair{cookie.Name, value}
			}
			return nil
		case errors.Is(err, errCookieConflict):
			x.refuseCookie(cookie, reasonConflict)
			return x.conflictingCookies(cookie.Name)
		case errors.Is(err, token.ErrKeysNotLoaded), errors.Is(err, token.ErrTooManyKeys):
			keysMissing = refuseKeysMissing("the issuer of the cookie "+cookie.Name, err)
		case isRefusal(err):
			keysMissing = err
			x.refuseCookie(cookie, reasonUnasked)
			continue
		}
		x.refuseCookie(cookie, cookieReason(err))
	}
	return keysMissing
}

func (x *authentication) refuseCookie(cookie Cookie, reason string) {
	x.record.refusedCookies = append(x.record.refusedCookies, RefusedCookie{Name: cookie.Name, Issuer: cookie.Issuer, Reason: reason})
}

// verifyCookie verifies the value that counts of those that were sent under one
// cookie's name, and returns it with its claims.
func (x *authentication) verifyCookie(cookie Cookie, sent *cookieValue) (string, *token.Claims, error) {
	if !sent.several {
		claims, err := x.verifyOf(cookie.Issuer, sent.value)
		return sent.value, claims, err
	}
	signed, err := x.signedValues(cookie)
	if err != nil {
		return "", nil, err
	}
	latest, err := latestOfOneSession(signed)
	if err != nil {
		return "", nil, err
	}
	claims, err := x.gen.Verifier.VerifySigned(latest, x.start)
	return latest.Value, claims, err
}

// conflictingCookies clears the cookies of that name. Whoever sent them is
// anonymous, and is told so when they come back.
func (x *authentication) conflictingCookies(name string) error {
	x.setCookies = append(x.setCookies, clearCookie(name, x.gen.Domain), clearHostCookie(name))
	if !x.isNavigation() {
		return nil
	}
	for range request.CookieValues(x.r.Header, conflictCookie) {
		x.setCookies = append(x.setCookies, clearHostCookie(conflictCookie))
		return refuseCookieConflict(name)
	}
	x.setCookies = append(x.setCookies, hostCookie(conflictCookie, "1", conflictWindow))
	return nil
}

// setPrincipal makes the bearer of verified claims the one who asks.
func (x *authentication) setPrincipal(claims *token.Claims) {
	x.claims = claims
	x.principal = x.gen.principalOf(claims)
}

// forwardsToken reports whether the upstream is to receive the access token
// itself.
func (x *authentication) forwardsToken(claims *token.Claims) bool {
	if x.Host == nil {
		return false
	}
	up := x.gen.upstreams[x.Host.Upstream]
	return up != nil && up.ForwardToken != "" && up.ForwardToken == claims.IssuerName()
}

// readRevocations finds the sessions, tokens or subjects that the SSO cookies prove,
// and that a logout ends: each value with a good signature counts, also of two
// that contradict each other, however old it is. Where there are more than can be
// verified, nothing is ended: "signed out" would not be true of the rest.
func (x *authentication) readRevocations() error {
	for _, cookie := range x.gen.Cookies {
		signed, err := x.signedValues(cookie)
		switch {
		case errors.Is(err, errCookieConflict):
			x.refuseCookie(cookie, reasonConflict)
			return refuseTooManyCookies(cookie.Name)
		case errors.Is(err, token.ErrKeysNotLoaded), errors.Is(err, token.ErrTooManyKeys):
			return refuseKeysMissing("the issuer of the cookie "+cookie.Name, err)
		}
		for _, v := range signed {
			good, err := x.signsOut(cookie, v)
			if err != nil {
				return err
			}
			if !good {
				x.refuseCookie(cookie, "expired")
				continue
			}
			if x.claims == nil { // the first counts, as where cookies sign somebody in
				x.byCookie = true
				x.setPrincipal(v.Claims)
			}
			x.revocations = append(x.revocations, revocationFor(v.Claims, x.start))
			x.signedOut = append(x.signedOut, audit.Actor{Session: v.Claims.Session(), User: v.Claims.User(), Subject: v.Claims.Subject()})
		}
	}
	return nil
}

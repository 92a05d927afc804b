package gateway

import (
	"errors"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// conflictCookie marks a browser whose two contradicting SSO cookies were
// cleared a moment ago. If they come back, a page explains it: another redirect
// would be a loop.
const conflictCookie = "__Host-vilogate-conflict"

// authenticate finds out who asks: the Bearer token first, then the SSO
// cookies. It refuses only what no route could let pass: on a public route a bad
// cookie is nobody, and trouble of our own makes everybody anonymous.
func (x *exchange) authenticate() error {
	x.credentials = readCredentials(x.r.Header, x.gen.Cookies)
	route := x.match.Route
	open := route != nil && route.Public() || route == nil && x.match.AllPublic
	optional := route != nil && route.Optional
	if optional && !x.credentials.hasBearer && !x.credentials.hasCookie {
		x.keepBearer = true // another scheme, or none
		return nil
	}
	stale := x.g.opts.Revocations.Stale(x.start)
	if stale && !open && (route == nil || !route.OnStaleAllow) {
		return refuseUnavailable("the view of the revocations is older than it may be")
	}
	err := x.verifyCredentials(open)
	if stale && open {
		x.becomeNobody()
	}
	if err == nil && optional && x.principal == nil {
		return refuseBadCookie() // who shows a credential means it
	}
	return err
}

// becomeNobody lets the request go on as anonymous. A credential that proved
// somebody goes no further.
func (x *exchange) becomeNobody() {
	if x.principal != nil {
		x.keepBearer = false
	}
	x.principal, x.claims, x.byCookie, x.keepCookie = nil, nil, false, -1
}

func (x *exchange) verifyCredentials(open bool) error {
	if x.credentials.hasBearer {
		return x.verifyBearer(open)
	}
	x.keepBearer = true // another scheme, or none
	if !x.credentials.hasCookie {
		return nil
	}
	err := x.verifyCookies()
	if open {
		return nil
	}
	return err
}

// verifyBearer never falls back to the cookies: who sends a Bearer token means
// it.
func (x *exchange) verifyBearer(open bool) error {
	claims, err := x.gen.Verifier.Verify(x.credentials.bearer, x.start)
	switch {
	case err == nil:
		x.become(claims)
		x.keepBearer = x.passesTokenOf(claims)
		return nil
	case errors.Is(err, token.ErrNotOurs):
		x.keepBearer = open
		if open {
			return nil
		}
		return refuseToken(err)
	case errors.Is(err, token.ErrKeysMissing):
		if open {
			return nil
		}
		return refuseUnavailable("the keys of the token's issuer are not loaded")
	default:
		return refuseToken(err)
	}
}

// verifyCookies takes the first SSO cookie that verifies, our own IdP's before
// the others'. It returns an error only when keys are missing and nobody was
// found.
func (x *exchange) verifyCookies() error {
	var missing error
	for i, cookie := range x.gen.Cookies {
		sent := &x.credentials.cookies[i]
		switch {
		case !sent.sent:
			continue
		case sent.conflict:
			return x.conflictingCookies(cookie.Name)
		}
		claims, err := x.gen.Verifier.Verify(sent.value, x.start)
		switch {
		case err == nil && claims.IssuerName() == cookie.Issuer:
			x.become(claims)
			x.byCookie = true
			if x.passesTokenOf(claims) {
				x.keepCookie = i
			}
			return nil
		case errors.Is(err, token.ErrKeysMissing):
			missing = refuseUnavailable("the keys of the issuer of the cookie " + cookie.Name + " are not loaded")
		}
	}
	return missing
}

// conflictingCookies clears both cookies of that name. Whoever sent them is
// nobody, and is told so when they come back.
func (x *exchange) conflictingCookies(name string) error {
	x.clear = append(x.clear, clearCookie(name, x.gen.Domain), clearHostCookie(name))
	if !x.isNavigation() {
		return nil
	}
	for _, line := range x.r.Header["Cookie"] {
		for sent := range cookiePairs(line) {
			if sent == conflictCookie {
				x.clear = append(x.clear, clearHostCookie(conflictCookie))
				return refuseConflict(name)
			}
		}
	}
	x.clear = append(x.clear, conflictCookie+"=1; Path=/; Max-Age=120; Secure; HttpOnly; SameSite=Lax")
	return nil
}

// become makes the bearer of verified claims the one who asks.
func (x *exchange) become(claims *token.Claims) {
	x.claims = claims
	x.principal = x.gen.principalOf(claims)
}

// passesTokenOf reports whether the upstream is to receive the access token
// itself.
func (x *exchange) passesTokenOf(claims *token.Claims) bool {
	if x.host == nil {
		return false
	}
	up := x.gen.upstreams[x.host.Upstream]
	return up != nil && up.ForwardToken != "" && up.ForwardToken == claims.IssuerName()
}

// isNavigation reports whether a person is on the way to a page.
func (x *exchange) isNavigation() bool { return request.IsNavigation(x.r.Method, x.r.Header) }

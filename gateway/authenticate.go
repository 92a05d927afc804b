package gateway

import (
	"errors"

	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
)

// conflictCookie marks a browser whose two contradicting SSO cookies were
// cleared a moment ago. If they come back, a page explains it: another redirect
// would be a loop.
const conflictCookie = "__Host-vilogate-conflict"

// authentication is who sends a request, and what becomes of the credentials
// that say so.
type authentication struct {
	*located
	credentials   credentials
	claims        *token.Claims      // of the credential that counts
	principal     *principal         // nil: anonymous
	byCookie      bool               // the principal comes from a cookie
	forwardBearer bool               // the Authorization header is the backend's business
	forwardCookie int                // index of the SSO cookie that is passed on, or -1
	setCookies    []string           // Set-Cookie lines for the reply
	revocations   []revocation.Entry // with policies.Logout: what the cookies' sessions end with
}

// identity is who asks, as policies see it; nil for anonymous.
func (x *authentication) identity() *policies.Identity {
	if x.principal == nil {
		return nil
	}
	return x.principal.identity(x.byCookie)
}

// authenticate finds out who asks: the Bearer token first, then the SSO
// cookies. It refuses only what no route could let pass: on a public route a bad
// cookie is anonymous, and trouble of our own makes everybody anonymous.
func (x *authentication) authenticate(l *located) error {
	x.located = l
	if l.Endpoint == policies.Logout {
		x.readRevocations()
		return nil
	}
	x.credentials = readCredentials(x.r.Header, x.gen.Cookies)
	route := x.Match.Route
	public := route != nil && route.Public() || route == nil && x.Match.AllPublic
	optional := route != nil && route.Optional
	if optional && !x.credentials.hasBearer && !x.credentials.hasCookie {
		return nil // another scheme, or none
	}
	stale := x.g.opts.Revocations.Stale(x.start)
	if stale && !public && (route == nil || !route.OnStaleAllow) {
		return refuseUnavailable("stale revocation view")
	}
	err := x.verifyCredentials(public)
	if stale && public {
		x.continueAnonymous()
	}
	if err == nil && optional && x.principal == nil {
		return refuseInvalidCookie() // who shows a credential means it
	}
	return err
}

// continueAnonymous lets the request go on as anonymous. A credential that proved
// somebody goes no further.
func (x *authentication) continueAnonymous() {
	if x.principal != nil {
		x.forwardBearer = false
	}
	x.principal, x.claims, x.byCookie, x.forwardCookie = nil, nil, false, -1
}

func (x *authentication) verifyCredentials(public bool) error {
	if x.credentials.hasBearer {
		x.forwardBearer = false
		return x.verifyBearer(public)
	}
	if !x.credentials.hasCookie {
		return nil
	}
	err := x.verifyCookies()
	if public {
		return nil
	}
	return err
}

// verifyBearer never falls back to the cookies: who sends a Bearer token means
// it.
func (x *authentication) verifyBearer(public bool) error {
	claims, err := x.gen.Verifier.Verify(x.credentials.bearer, x.start)
	switch {
	case err == nil:
		x.setPrincipal(claims)
		x.forwardBearer = x.forwardsToken(claims)
		return nil
	case errors.Is(err, token.ErrUnknownIssuer):
		x.forwardBearer = public
		if public {
			return nil
		}
		return refuseInvalidToken(err)
	case errors.Is(err, token.ErrKeysNotLoaded):
		if public {
			return nil
		}
		return refuseUnavailable("the JWKS of the token's issuer is not loaded")
	default:
		return refuseInvalidToken(err)
	}
}

// verifyCookies takes the first SSO cookie that verifies, our own IdP's before
// the others'. It returns an error only when keys are missing and nobody was
// found.
func (x *authentication) verifyCookies() error {
	var keysMissing error
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
			x.setPrincipal(claims)
			x.byCookie = true
			if x.forwardsToken(claims) {
				x.forwardCookie = i
			}
			return nil
		case errors.Is(err, token.ErrKeysNotLoaded):
			keysMissing = refuseUnavailable("the JWKS of the issuer of the cookie " + cookie.Name + " is not loaded")
		}
	}
	return keysMissing
}

// conflictingCookies clears both cookies of that name. Whoever sent them is
// nobody, and is told so when they come back.
func (x *authentication) conflictingCookies(name string) error {
	x.setCookies = append(x.setCookies, clearCookie(name, x.gen.Domain), clearHostCookie(name))
	if !x.isNavigation() {
		return nil
	}
	for _, line := range x.r.Header["Cookie"] {
		for sent := range cookiePairs(line) {
			if sent == conflictCookie {
				x.setCookies = append(x.setCookies, clearHostCookie(conflictCookie))
				return refuseCookieConflict(name)
			}
		}
	}
	x.setCookies = append(x.setCookies, conflictCookie+"=1; Path=/; Max-Age=120; Secure; HttpOnly; SameSite=Lax")
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

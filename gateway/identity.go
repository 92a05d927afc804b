package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
)

// assertionLife is how long an assertion is good for; one is reused until half
// of it has passed.
const assertionLife = 60 * time.Second

// identityKeys are the canonical names under which a backend receives the plain
// facts; "" where a preset has no name for one.
type identityKeys struct{ user, email, name, roles, preferredUsername string }

// presets are the sets of names that an upstream can ask for.
var presets = map[string]*identityKeys{
	"x-user":           {user: "X-User", email: "X-User-Email", name: "X-User-Name", roles: "X-User-Roles"},
	"remote-user":      {user: "Remote-User", email: "Remote-Email", name: "Remote-Name", roles: "Remote-Groups"},
	"x-forwarded-user": {user: "X-Forwarded-User", email: "X-Forwarded-Email", roles: "X-Forwarded-Groups", preferredUsername: "X-Forwarded-Preferred-Username"},
}

// principal is somebody whose token was verified, with what every backend will
// be told made ready: one value a token, shared by its requests. Safe for
// concurrent use.
type principal struct {
	claims   *token.Claims
	madeBy   *generationMark
	byCookie policies.Identity
	byBearer policies.Identity

	// Header values, each a slice of one so that it can stand in an
	// http.Header as it is. They are never written again.
	user, id, email, name, roles []string

	assertions []atomic.Pointer[assertion] // by upstream.index
}

// assertion is a signed assertion for one upstream.
type assertion struct {
	value []string
	renew time.Time // when half its life has passed
}

// principalOf returns the principal of verified claims. It is kept beside them,
// so that it is found without another look-up and forgotten with the token.
func (gen *Generation) principalOf(claims *token.Claims) *principal {
	if p, ok := claims.Beside().(*principal); ok && p.madeBy == gen.mark {
		return p
	}
	p := newPrincipal(claims, len(gen.Settings.Upstreams))
	p.madeBy = gen.mark
	claims.KeepBeside(p)
	return p
}

func newPrincipal(c *token.Claims, upstreams int) *principal {
	identity := policies.Identity{
		Issuer: c.IssuerName(), User: c.User(), Subject: c.Subject(), Email: c.Email(), Name: c.Name(),
		Session: c.Session(), Roles: c.Roles(), AMR: c.AMR(), AuthTime: c.AuthTime(),
		EmailVerified: c.EmailVerified(), IssuedAt: c.IssuedAt(), Expires: c.Expires(), Claims: c,
	}
	p := &principal{
		claims: c, byCookie: identity, byBearer: identity,
		user: []string{c.User()}, id: []string{c.Subject()},
		email: []string{percentEncode(c.Email())}, name: []string{percentEncode(c.Name())},
		roles:      []string{strings.Join(c.Roles(), ",")},
		assertions: make([]atomic.Pointer[assertion], upstreams),
	}
	p.byBearer.Bearer = true
	return p
}

// as returns the identity that policies judge, by the kind of credential.
func (p *principal) as(byCookie bool) *policies.Identity {
	if byCookie {
		return &p.byCookie
	}
	return &p.byBearer
}

// assertionFor returns the signed assertion for the upstream: the one at hand
// until half its life has passed, else a new one. Two requests may sign at
// once; either's is good.
func (p *principal) assertionFor(up *upstream, issuer string, key *token.PrivateKey, now time.Time) ([]string, error) {
	slot := &p.assertions[up.index]
	if a := slot.Load(); a != nil && now.Before(a.renew) {
		return a.value, nil
	}
	c := p.claims
	signed, err := key.SignAssertion(token.Assertion{
		Issuer: issuer, Audience: up.Name,
		Subject: c.Subject(), User: c.User(), Name: c.Name(), Email: c.Email(), Session: c.Session(),
		Roles: c.Roles(), AMR: c.AMR(), AuthTime: c.AuthTime(),
		IssuedAt: now, Expires: now.Add(assertionLife),
	})
	if err != nil {
		return nil, fmt.Errorf("signing the assertion for %s: %w", up.Name, err)
	}
	a := &assertion{value: []string{signed}, renew: now.Add(assertionLife / 2)}
	slot.Store(a)
	return a.value, nil
}

// identify readies the assertion, where there is somebody to speak of.
func (x *forwarding) identify() error {
	if x.authentication.principal == nil {
		return nil
	}
	value, err := x.authentication.principal.assertionFor(x.upstream, x.gen.assertionIssuer, x.g.opts.AssertionKey, x.start)
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	x.assertion = value
	return nil
}

// setIdentity writes the identity headers, which cleanHeaders has made sure are
// nobody else's.
func (x *forwarding) setIdentity(h http.Header) {
	p := x.authentication.principal
	if p == nil {
		return
	}
	keys := x.upstream.headers
	setFact(h, keys.user, p.user)
	setFact(h, keys.preferredUsername, p.user)
	setFact(h, keys.email, p.email)
	setFact(h, keys.name, p.name)
	setFact(h, keys.roles, p.roles)
	h["X-User-Id"] = p.id
	h["X-User-Assertion"] = x.assertion
}

// setFact sets a header whose canonical name and value are both there.
func setFact(h http.Header, name string, value []string) {
	if name != "" && value[0] != "" {
		h[name] = value
	}
}

// percentEncode encodes the bytes outside printable ASCII, and "%" itself.
func percentEncode(s string) string {
	const upperHex = "0123456789ABCDEF"
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = ' ' <= s[i] && s[i] <= '~' && s[i] != '%'
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; ' ' <= c && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

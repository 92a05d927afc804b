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

// assertionTTL is the lifetime of an assertion (exp - iat); one is reused until half
// of it has passed.
const assertionTTL = 60 * time.Second

// identityHeaders are the canonical names under which a backend receives the plain
// identity headers; "" where a preset has no name for one.
type identityHeaders struct{ user, email, name, roles, preferredUsername string }

// presets are the sets of names that an upstream can ask for.
var presets = map[string]*identityHeaders{
	"x-user":           {user: "X-User", email: "X-User-Email", name: "X-User-Name", roles: "X-User-Roles"},
	"remote-user":      {user: "Remote-User", email: "Remote-Email", name: "Remote-Name", roles: "Remote-Groups"},
	"x-forwarded-user": {user: "X-Forwarded-User", email: "X-Forwarded-Email", roles: "X-Forwarded-Groups", preferredUsername: "X-Forwarded-Preferred-Username"},
}

// principal is the subject of a verified token, with its identity headers and
// assertions: one value a token, shared by its requests. Safe for concurrent use.
type principal struct {
	claims     *token.Claims
	generation *generationID
	byCookie   policies.Identity
	byBearer   policies.Identity

	// Header values, each a slice of one so that it can stand in an
	// http.Header as it is. They are never written again.
	user, id, email, name, roles []string

	assertions []atomic.Pointer[assertion] // by upstream.index
}

// assertion is a signed assertion for one upstream.
type assertion struct {
	value     []string
	refreshAt time.Time // when half its life has passed
}

// principalOf returns the principal of verified claims. It is cached with them, so
// that it is found without another look-up and evicted with the token.
func (gen *Generation) principalOf(claims *token.Claims) *principal {
	if p, ok := claims.Cached().(*principal); ok && p.generation == gen.id {
		return p
	}
	p := newPrincipal(claims, len(gen.Settings.Upstreams))
	p.generation = gen.id
	claims.SetCached(p)
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
		user: []string{token.PercentEncode(c.User())}, id: []string{token.PercentEncode(c.Subject())},
		email: []string{percentEncode(c.Email())}, name: []string{percentEncode(c.Name())},
		roles:      []string{strings.Join(c.Roles(), ",")},
		assertions: make([]atomic.Pointer[assertion], upstreams),
	}
	p.byBearer.Bearer = true
	return p
}

// identity returns the identity that policies decide on, by the kind of credential.
func (p *principal) identity(byCookie bool) *policies.Identity {
	if byCookie {
		return &p.byCookie
	}
	return &p.byBearer
}

// assertionFor returns the signed assertion for the upstream: the cached one until
// half its lifetime has passed, else a new one. Two requests may sign at
// once; either's is good.
func (p *principal) assertionFor(up *upstream, issuer string, key *token.PrivateKey, now time.Time) ([]string, error) {
	slot := &p.assertions[up.index]
	if a := slot.Load(); a != nil && now.Before(a.refreshAt) {
		return a.value, nil
	}
	c := p.claims
	signed, err := key.SignAssertion(token.Assertion{
		Issuer: issuer, Audience: up.Name,
		Subject: c.Subject(), User: c.User(), Name: c.Name(), Email: c.Email(), Session: c.Session(),
		Roles: c.Roles(), AMR: c.AMR(), AuthTime: c.AuthTime(),
		IssuedAt: now, Expires: now.Add(assertionTTL),
	})
	if err != nil {
		return nil, fmt.Errorf("signing the assertion for %s: %w", up.Name, err)
	}
	a := &assertion{value: []string{signed}, refreshAt: now.Add(assertionTTL / 2)}
	slot.Store(a)
	return a.value, nil
}

// prepareAssertion signs the assertion, or takes the cached one, where there is a
// principal.
func (x *forwarding) prepareAssertion() error {
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

// setIdentity writes the identity headers; cleanHeaders has removed forged ones.
func (x *forwarding) setIdentity(h http.Header) {
	p := x.authentication.principal
	if p == nil {
		return
	}
	keys := x.upstream.headers
	setIfPresent(h, keys.user, p.user)
	setIfPresent(h, keys.preferredUsername, p.user)
	setIfPresent(h, keys.email, p.email)
	setIfPresent(h, keys.name, p.name)
	setIfPresent(h, keys.roles, p.roles)
	h["X-User-Id"] = p.id
	h["X-User-Assertion"] = x.assertion
}

// setIfPresent sets a header whose canonical name and value are both not empty.
func setIfPresent(h http.Header, name string, value []string) {
	if name != "" && value[0] != "" {
		h[name] = value
	}
}

// percentEncode encodes the bytes outside printable ASCII, and "%" itself: spaces
// stay, in what people read.
func percentEncode(s string) string {
	return strings.ReplaceAll(token.PercentEncode(s), "%20", " ")
}

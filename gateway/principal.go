package gateway

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
)

// assertionTTL is the lifetime of an assertion (exp - iat); one is reused until half
// of it has passed.
const assertionTTL = 60 * time.Second

// principal is the subject of a verified token, with its identity headers and
// assertions: one value a token, shared by its requests. Safe for concurrent use.
type principal struct {
	claims     *token.Claims
	generation *generationID
	byCookie   policies.Identity
	byBearer   policies.Identity

	user, id, email, name, roles string // as identity headers have them

	assertions []atomic.Pointer[assertion] // by upstream.index
}

// assertion is a signed assertion for one upstream.
type assertion struct {
	value     string
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
		user: token.PercentEncode(c.User()), id: token.PercentEncode(c.Subject()),
		email: percentEncode(c.Email()), name: percentEncode(c.Name()),
		roles:      token.EncodeRoles(c.ForwardedRoles()),
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
func (p *principal) assertionFor(up *upstream, issuer string, key *token.PrivateKey, now time.Time) (string, error) {
	slot := &p.assertions[up.index]
	if a := slot.Load(); a != nil && now.Before(a.refreshAt) {
		return a.value, nil
	}
	c := p.claims
	signed, err := signWithin(maxAssertion, key, token.Assertion{
		Issuer: issuer, Audience: up.Name,
		Subject: c.Subject(), User: c.User(), Name: c.Name(), Email: c.Email(), Session: c.Session(),
		Roles: c.ForwardedRoles(), AMR: c.AMR(), AuthTime: c.AuthTime(),
		IssuedAt: now, Expires: now.Add(assertionTTL),
	})
	if err != nil {
		return "", fmt.Errorf("signing the assertion for %s: %w", up.Name, err)
	}
	a := &assertion{value: signed, refreshAt: now.Add(assertionTTL / 2)}
	slot.Store(a)
	return a.value, nil
}

// maxAssertion is the longest assertion in bytes: gunicorn takes 8,190 of a header line, and others 8 KiB.
const maxAssertion = 8190 - len("X-User-Assertion: \r\n")

var errAssertionTooLong = errors.New("gateway: an assertion that backends would not take")

// signWithin signs an assertion of at most limit bytes. What another issuer's token says at length is left out of a longer
// one, where a backend that misses it refuses: how somebody signed in, and then the name to show.
func signWithin(limit int, key *token.PrivateKey, a token.Assertion) (string, error) {
	for _, shorten := range []func(){func() {}, func() { a.AMR = nil }, func() { a.Name = "" }} {
		shorten()
		signed, err := key.SignAssertion(a)
		if err != nil || len(signed) <= limit {
			return signed, err
		}
	}
	return "", errAssertionTooLong
}

// percentEncode encodes the bytes outside printable ASCII, and "%" itself: spaces
// stay, in what people read. It is what grpc-message has, too.
func percentEncode(s string) string {
	return strings.ReplaceAll(token.PercentEncode(s), "%20", " ")
}

package token

import (
	"cmp"
	"errors"
	"sync/atomic"
	"time"
)

// leeway is how far ahead of ours the clock of an issuer may run, for nbf, iat
// and auth_time. exp has none.
const leeway = 60 * time.Second

// Claims is what a verified token says. It can be had only from a [Verifier],
// is immutable, and may be shared; the same token gives the same pointer as
// long as it is remembered, so that what is made from it can be kept beside it.
type Claims struct {
	issuer *issuer
	kid    string    // as the token wrote it, for its KeySource
	key    PublicKey // that verified it; zero for a shared secret

	audience []string
	clients  []string // client_id and azp, where the issuer is asked for them
	subject  string
	user     string
	email    string
	name     string
	roles    []string
	amr      []string
	session  string
	id       string

	emailVerified bool

	forwardedRoles []string
	findings       []RoleFinding // until they are reported

	authTime  time.Time
	issuedAt  time.Time
	notBefore time.Time
	expires   time.Time

	decoded map[string]any // every claim, by the name it has in the token
	cached  atomic.Pointer[any]
}

// SetCached caches v with the claims for as long as they are cached, in
// place of what was kept before: what a caller makes of claims, and would have to
// look up by them otherwise. v must be safe for concurrent use.
func (c *Claims) SetCached(v any) { c.cached.Store(&v) }

// Cached returns what was last cached with the claims, or nil.
func (c *Claims) Cached() any {
	if v := c.cached.Load(); v != nil {
		return *v
	}
	return nil
}

// IssuerName is the issuer's name in the configuration; [OwnIssuer] for ours.
func (c *Claims) IssuerName() string { return c.issuer.Name }

// ISS is the iss claim; empty for the issuer that does not name itself.
func (c *Claims) ISS() string { return c.issuer.ISS }

// Subject is stable and never reused: the sub claim, with "<issuer's name>:"
// before it unless it is of our own IdP.
func (c *Claims) Subject() string { return c.subject }

// User is the user name: ours, or with "<issuer's name>:" before it.
func (c *Claims) User() string { return c.user }

// Email may be empty.
func (c *Claims) Email() string { return c.email }

// EmailVerified reports whether the issuer says that Email is theirs: our own
// always does, another by the claim email_verified, which speaks of the claim
// email and no other.
func (c *Claims) EmailVerified() bool { return c.emailVerified }

// Claim is any claim of the token, by its name there: a string, bool, float64,
// nil, []any or map[string]any, which is shared: read it only.
func (c *Claims) Claim(name string) (value any, ok bool) {
	value, ok = c.decoded[name]
	return value, ok
}

// Name is the name to show; it may be empty.
func (c *Claims) Name() string { return c.name }

// Roles are sorted, each once. The slice is shared: read it only.
func (c *Claims) Roles() []string { return c.roles }

// ForwardedRoles are the Roles that backends are told of: all that take no more than
// [MaxForwardedRoles]. The slice is shared: read it only.
func (c *Claims) ForwardedRoles() []string { return c.forwardedRoles }

// AMR are the methods of the login. The slice is shared: read it only.
func (c *Claims) AMR() []string { return c.amr }

// Session is the sid claim, empty when another issuer gave none.
func (c *Claims) Session() string { return c.session }

// ID is the jti claim, empty when another issuer gave none.
func (c *Claims) ID() string { return c.id }

// KeyID names the key that verified the token; empty for a shared secret.
func (c *Claims) KeyID() string {
	if c.key.IsZero() {
		return ""
	}
	return c.key.ID()
}

// AuthTime is when the user last proved who they are; zero when another issuer did not say.
func (c *Claims) AuthTime() time.Time { return c.authTime }

// IssuedAt is in whole seconds.
func (c *Claims) IssuedAt() time.Time { return c.issuedAt }

// Expires is the first moment at which the token no longer counts.
func (c *Claims) Expires() time.Time { return c.expires }

// checkTimes checks exp, iat and nbf, the same for a token seen first and for
// one remembered. It allocates nothing while the token is good.
func (c *Claims) checkTimes(now time.Time) error {
	if !now.Before(c.expires) {
		return errExpired
	}
	if latest := now.Add(leeway); latest.Before(c.issuedAt) || latest.Before(c.notBefore) {
		return errNotYet
	}
	return nil
}

// missedFor is the error of a token whose key could not be asked for: where it could not
// count at now with any key, that is why. The zero time judges no time.
func (c *Claims) missedFor(now time.Time, err error) error {
	if errors.Is(err, ErrKeysNotLoaded) && !now.IsZero() {
		return cmp.Or(c.checkTimes(now), err)
	}
	return err
}

// checkKey checks that the key that verified the token is still its issuer's (key rotation).
func (c *Claims) checkKey(now time.Time) error {
	if c.key.IsZero() {
		return nil
	}
	there, err := c.issuer.tryKeys(c.kid, now, c.key.Equal)
	if err == nil && !there {
		err = errKeyReplaced
	}
	return err
}

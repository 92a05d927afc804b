package token

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/maypok86/otter/v2/stats"
)

// defaultCacheBytes remembers some 60,000 tokens. Few of them take little.
const defaultCacheBytes = 256 << 20

// VerifierConfig says whose tokens count.
type VerifierConfig struct {
	Issuers []IssuerConfig

	// Refuse lists iss values that are never accepted: the gateway's own.
	Refuse []string

	// CacheBytes bounds the memory for remembered verifications. Optional: 256 MiB.
	CacheBytes int

	// MaxLength is the longest token that is looked at. Optional: [MaxLength].
	MaxLength int

	// Report is told what there is to say of the roles in a token, when it is first
	// seen; from many goroutines. Optional.
	Report func(RoleFinding)

	// Revoked is asked about every token that would be good, on every call of
	// Verify; it must neither block nor do I/O. Optional.
	Revoked func(*Claims) bool
}

// Verifier judges tokens. It is safe for concurrent use.
type Verifier struct {
	issuers        map[string]*issuer // by iss; the one that does not name itself under ""
	refusedIssuers []string
	cookies        []string
	maxLength      int
	report         func(RoleFinding)
	revoked        func(*Claims) bool
	cache          *otter.Cache[string, *Claims] // by exact bytes; only what was good
	tries          atomic.Uint64                 // for Stats
}

// NewVerifier checks the configuration as a whole.
func NewVerifier(c VerifierConfig) (*Verifier, error) {
	v := &Verifier{
		issuers: make(map[string]*issuer, len(c.Issuers)), refusedIssuers: slices.Clone(c.Refuse),
		maxLength: cmp.Or(c.MaxLength, MaxLength), report: c.Report, revoked: c.Revoked,
	}
	names := make(map[string]bool, len(c.Issuers))
	for _, config := range c.Issuers {
		i, err := newIssuer(config)
		if err != nil {
			return nil, err
		}
		other, twice := v.issuers[i.ISS]
		switch {
		case names[i.Name]:
			return nil, fmt.Errorf("token: two issuers of the name %q", i.Name)
		case twice && i.ISS == "":
			return nil, fmt.Errorf("token: issuers %q and %q: only one may leave out its iss", other.Name, i.Name)
		case twice:
			return nil, fmt.Errorf("token: issuers %q and %q have the same iss", other.Name, i.Name)
		case slices.Contains(c.Refuse, i.ISS):
			return nil, fmt.Errorf("token: issuer %q: its iss is the gateway's own", i.Name)
		}
		names[i.Name], v.issuers[i.ISS] = true, i
		if i.Cookie != "" && !slices.Contains(v.cookies, i.Cookie) {
			if i.Own {
				v.cookies = slices.Insert(v.cookies, 0, i.Cookie)
			} else {
				v.cookies = append(v.cookies, i.Cookie)
			}
		}
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = defaultCacheBytes
	}
	if c.CacheBytes < 0 {
		return nil, errors.New("token: a negative cache size")
	}
	tokens, err := otter.New(&otter.Options[string, *Claims]{
		MaximumWeight: uint64(c.CacheBytes),
		Weigher:       weight,
		StatsRecorder: stats.NewCounter(),
		Executor:      func(maintain func()) { maintain() }, // no goroutine of its own
	})
	if err != nil {
		return nil, fmt.Errorf("token: cache: %w", err)
	}
	v.cache = tokens
	return v, nil
}

// weight is about what a remembered token takes: its text, its claims (which are
// about three quarters of the text again, and as much once more by their names),
// what a caller keeps beside them (about as much as another text and a signed
// assertion), and what holds it all.
func weight(raw string, _ *Claims) uint32 { return uint32(4*len(raw) + 1536) }

// Cookies are the names of the cookies in which tokens come: our own IdP's
// first, then in the order of the configuration, each once.
func (v *Verifier) Cookies() []string { return slices.Clone(v.cookies) }

// Stats counts what the cache did.
type Stats struct {
	Hits, Misses uint64
	Entries      int
	Tries        uint64 // keys tried beyond the first, for tokens that do not say which has signed them
}

// Stats is for metrics.
func (v *Verifier) Stats() Stats {
	s := v.cache.Stats()
	return Stats{Hits: s.Hits, Misses: s.Misses, Entries: v.cache.EstimatedSize(), Tries: v.tries.Load()}
}

// A Sender is who sends a token that more keys than one may have signed. It is safe
// for the use of one goroutine.
type Sender interface {
	// MayTryAnother is asked before each key but the first is tried.
	MayTryAnother() bool
	// KeysFailed is told how many were, for a token that is not good.
	KeysFailed(keys int)
}

// scope narrows what a verifier takes. The zero value narrows nothing.
type scope struct {
	issuer string // the only one whose tokens count, by its name; "" for all
	sender Sender // or nil
	left   *int   // signatures that may still be verified; nil for any number
}

// excludes reports whether tokens of the issuer of that name do not count.
func (s scope) excludes(issuer string) bool { return s.issuer != "" && s.issuer != issuer }

// trial counts the signatures that are verified for one token.
type trial struct {
	scope
	tried int
	extra *atomic.Uint64 // counts all but the first
}

// permit says whether another may be.
func (t *trial) permit() error {
	switch {
	case t.left != nil && *t.left == 0:
		return ErrTooManyValues
	case t.tried > 0 && t.sender != nil && !t.sender.MayTryAnother():
		return ErrTooManyKeys
	}
	if t.left != nil {
		*t.left--
	}
	if t.tried > 0 {
		t.extra.Add(1)
	}
	t.tried++
	return nil
}

// charge has the sender pay for a token that is not good.
func (t *trial) charge() {
	if t.sender != nil && t.tried > 1 {
		t.sender.KeysFailed(t.tried - 1)
	}
}

// Verify judges a token as it stands at now.
// For a token seen before it allocates nothing.
func (v *Verifier) Verify(raw string, now time.Time) (*Claims, error) {
	return v.verify(raw, now, scope{})
}

// VerifyFrom is Verify for a sender who may not have any number of keys tried:
// where another was to be tried and could not be, the error is ErrTooManyKeys.
func (v *Verifier) VerifyFrom(sender Sender, raw string, now time.Time) (*Claims, error) {
	return v.verify(raw, now, scope{sender: sender})
}

// VerifyOf is VerifyFrom for what carries the tokens of one issuer alone, by its name: a
// token that says it is of another is refused for that, whether the keys of the other
// are there or not.
func (v *Verifier) VerifyOf(issuer string, sender Sender, raw string, now time.Time) (*Claims, error) {
	return v.verify(raw, now, scope{issuer: issuer, sender: sender})
}

func (v *Verifier) verify(raw string, now time.Time, s scope) (*Claims, error) {
	if len(raw) > v.maxLength {
		return nil, fmt.Errorf("%w: %w", errInvalid, errTooLong)
	}
	c, known := v.cache.GetIfPresent(raw)
	switch {
	case !known:
		var err error
		if c, err = v.check(raw, now, s); err != nil {
			return nil, err
		}
		v.remember(raw, c)
	case s.excludes(c.IssuerName()):
		return nil, errOtherIssuer
	default:
		if err := c.checkKey(now); err != nil {
			return nil, c.missedFor(now, err)
		}
	}
	return v.current(c, now)
}

// remember keeps a good verification.
func (v *Verifier) remember(raw string, c *Claims) {
	v.reportRoles(c)
	v.cache.Set(strings.Clone(raw), c) // the caller's bytes may be a piece of a whole request
}

// current judges what changes with time: it expires, and it is revoked.
func (v *Verifier) current(c *Claims, now time.Time) (*Claims, error) {
	if err := c.checkTimes(now); err != nil {
		return nil, err
	}
	if v.revoked != nil && v.revoked(c) {
		return nil, errRevoked
	}
	return c, nil
}

// reportRoles reports what there is to say of the roles in a token, once.
func (v *Verifier) reportRoles(c *Claims) {
	for _, finding := range c.findings {
		if v.report != nil {
			finding.Issuer = c.issuer.Name
			v.report(finding)
		}
	}
	c.findings = nil
}

// checkSignature judges everything but time and revocation: enough to name the
// session that somebody wants to end, never to let anybody in. Its keys are
// those of the moment at which the token was issued.
func (v *Verifier) checkSignature(raw string, s scope) (*Claims, error) {
	if len(raw) > v.maxLength {
		return nil, fmt.Errorf("%w: %w", errInvalid, errTooLong)
	}
	return v.check(raw, time.Time{}, s)
}

// check judges all that stays true of a token for good, and so may be
// remembered. now is for the key source; zero stands for the token's own moment.
func (v *Verifier) check(raw string, now time.Time, s scope) (*Claims, error) {
	parts, err := parseCompact(raw)
	if err != nil {
		if !looksLikeJWT(raw) {
			return nil, ErrUnknownIssuer
		}
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	i, err := v.findIssuer(parts)
	if err != nil {
		return nil, err
	}
	if s.excludes(i.Name) {
		return nil, errOtherIssuer
	}
	if i.Own && len(raw) > maxOwnLength {
		return nil, fmt.Errorf("%w: %w", errInvalid, errTooLong)
	}
	trial := trial{scope: s, extra: &v.tries}
	parts.permit = trial.permit
	c, err := i.check(parts, now)
	if err != nil {
		trial.charge()
		return nil, err
	}
	c.decoded = parts.payload.plain()
	return c, nil
}

// findIssuer finds whose token it claims to be.
func (v *Verifier) findIssuer(parts parsedToken) (*issuer, error) {
	iss := ""
	if claim, ok := parts.payload.get("iss"); ok {
		if claim.kind != kindString || claim.text == "" {
			return nil, fmt.Errorf("%w: iss %w", errInvalid, errType)
		}
		iss = claim.text
	}
	typ, _ := parts.header.get("typ")
	if slices.Contains(v.refusedIssuers, iss) || bareType(typ.text) == typeAssertion {
		return nil, errForbiddenIssuer
	}
	i, ok := v.issuers[iss]
	if !ok {
		return nil, ErrUnknownIssuer
	}
	return i, nil
}

// check judges a token that claims to be of this issuer, but for time and revocation.
func (i *issuer) check(parts parsedToken, now time.Time) (*Claims, error) {
	h, err := i.readHeader(parts.header)
	if err != nil {
		return nil, err
	}
	if err := rejectRefreshToken(parts.payload); err != nil {
		return nil, err
	}
	c, err := i.readClaims(parts.payload)
	if err != nil {
		return nil, err
	}
	// What costs nothing comes first: a token for somebody else needs no key.
	if err := c.checkRegistered(parts.payload); err != nil {
		return nil, err
	}
	if err := c.verifySignature(parts, h, now); err != nil {
		return nil, c.missedFor(now, err)
	}
	return c, nil
}

// rejectRefreshToken refuses what other issuers sign with the same key for a purpose
// of their own: refresh tokens say so in a claim (Keycloak, simplejwt, Cognito).
func rejectRefreshToken(payload object) error {
	for _, name := range []string{"typ", "token_type", "token_use"} {
		if claim, ok := payload.get(name); ok && (strings.EqualFold(claim.text, "refresh") || strings.EqualFold(claim.text, "offline")) {
			return errRefresh
		}
	}
	return nil
}

package token

import (
	"errors"
	"slices"
	"time"
)

// The checks of a token, in their order.
const (
	CheckForm       = "form"       // three segments of canonical base64url with JSON objects in them
	CheckIssuer     = "issuer"     // a configured issuer could have made it
	CheckHeader     = "header"     // typ, alg and kid, and no extension
	CheckClaims     = "claims"     // those that decide are there, and can be read
	CheckKey        = "key"        // the issuer has a key of this kid and algorithm
	CheckSignature  = "signature"  // made with that key
	CheckAudience   = "audience"   // for one of the issuer's audiences
	CheckTimes      = "times"      // issued, begun, not expired
	CheckRevocation = "revocation" // not signed out
)

// Explanation is what a verifier makes of a token, check by check, for people who ask why it does not count. It is no proof
// of anything, unlike Claims: what it says of the person is what the token says, good or not. It holds neither the token nor
// its signature.
type Explanation struct {
	// Passed are the checks that the token passed, in their order, and Failed the one that it did not; "" for none.
	Passed []string
	Failed string
	Err    error // the verifier's own; nil for a token that counts

	// What the token says, as far as it can be read.
	ISS, Algorithm, Type, KeyID string
	Audience                    []string
	Lists                       []string // names of the claims that hold a list of texts, or words; aud and amr left out

	// Issuer is the name of the issuer that could have made it, and Key the id of the key that has; "" for a shared secret.
	Issuer, Key string
	// Person is who it would be, by the issuer's rules; nil where the claims cannot be read.
	Person *Person
}

// Person is who a token says somebody is.
type Person struct {
	Subject, User, Email, Name, Session, ID string
	EmailVerified                           bool
	Roles, AMR                              []string
	AuthTime, IssuedAt, Expires             time.Time
}

// Explain judges a token as Verify does, by the same steps, and says how far it comes. It remembers nothing.
func (v *Verifier) Explain(raw string, now time.Time) *Explanation {
	e := &Explanation{}
	fail := func(check string, err error) *Explanation {
		e.Failed, e.Err = check, err
		return e
	}
	pass := func(checks ...string) { e.Passed = append(e.Passed, checks...) }
	if len(raw) > v.maxLength {
		return fail(CheckForm, errTooLong)
	}
	parts, err := parseCompact(raw)
	if err != nil {
		_, err = v.check(raw, now, scope{})
		return fail(CheckForm, err)
	}
	pass(CheckForm)
	e.read(parts)
	i, err := v.findIssuer(parts)
	if err != nil {
		return fail(CheckIssuer, err)
	}
	e.Issuer = i.Name
	pass(CheckIssuer)
	if i.Own && len(raw) > maxOwnLength {
		return fail(CheckForm, errTooLong)
	}
	c, claimsErr := i.readClaims(parts.payload)
	if claimsErr == nil {
		e.Person = c.person()
	}
	h, err := i.readHeader(parts.header)
	if err == nil {
		err = rejectRefreshToken(parts.payload)
	}
	if err != nil {
		return fail(CheckHeader, err)
	}
	pass(CheckHeader)
	if claimsErr != nil {
		return fail(CheckClaims, claimsErr)
	}
	pass(CheckClaims)
	if err = c.verifySignature(parts, h, now); err == nil {
		err = c.checkRegistered(parts.payload)
	}
	switch reason := Reason(err); {
	case err == nil:
		pass(CheckKey, CheckSignature, CheckAudience)
	case errors.Is(err, errAlgorithm), errors.Is(err, ErrUnknownKey), errors.Is(err, ErrKeysNotLoaded):
		return fail(CheckKey, err)
	case reason == ReasonSignature:
		pass(CheckKey)
		return fail(CheckSignature, err)
	case errors.Is(err, errTimeOrder), errors.Is(err, errRegistered):
		pass(CheckKey, CheckSignature)
		return fail(CheckTimes, err)
	default:
		pass(CheckKey, CheckSignature)
		return fail(CheckAudience, err)
	}
	e.Key = c.KeyID()
	if err := c.checkTimes(now); err != nil {
		return fail(CheckTimes, err)
	}
	pass(CheckTimes)
	if v.revoked != nil && v.revoked(c) {
		return fail(CheckRevocation, errRevoked)
	}
	pass(CheckRevocation)
	return e
}

// read keeps what the token says of itself.
func (e *Explanation) read(parts parsedToken) {
	text := func(o object, name string) string {
		if v, ok := o.get(name); ok && v.kind == kindString {
			return v.text
		}
		return ""
	}
	e.ISS, e.Algorithm, e.Type, e.KeyID = text(parts.payload, "iss"), text(parts.header, "alg"), text(parts.header, "typ"), text(parts.header, "kid")
	e.Audience = (&claimReader{object: parts.payload}).audiences()
	for _, m := range parts.payload {
		if slices.Contains([]string{"aud", "amr"}, m.name) {
			continue
		}
		if list, err := m.value.strings(); err == nil && len(list) > 0 {
			e.Lists = append(e.Lists, m.name)
		}
	}
}

// person is who the claims are of.
func (c *Claims) person() *Person {
	return &Person{
		Subject: c.subject, User: c.user, Email: c.email, Name: c.name, Session: c.session, ID: c.id, EmailVerified: c.emailVerified,
		Roles: c.roles, AMR: c.amr, AuthTime: c.authTime, IssuedAt: c.issuedAt, Expires: c.expires,
	}
}

package token

import (
	"errors"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// verifySignature checks the signature. The key's algorithm counts, never the token's
// word for it.
func (c *Claims) verifySignature(parts parsedToken, h header, now time.Time) error {
	if len(c.issuer.secrets) > 0 {
		return c.signedWithSecret(parts, h)
	}
	return c.signedWithKey(parts, h, now)
}

func (c *Claims) signedWithSecret(parts parsedToken, h header) error {
	if h.algorithm != c.issuer.Algorithm {
		return errAlgorithm
	}
	if err := parts.mayVerify(); err != nil { // once: what a secret signs is cheap
		return err
	}
	for _, secret := range c.issuer.secrets {
		if signingMethod(h.algorithm).Verify(parts.input, parts.signature, secret) == nil {
			return nil
		}
	}
	return errSignature // golang-jwt's own words may quote the token
}

// maxTried is how many keys are tried for one token, since a signature is dear.
const maxTried = 4

// signedWithKey finds the key of the issuer's that has signed the token, among
// those that are bound to its algorithm. What is ours is signed with ES256 alone.
func (c *Claims) signedWithKey(parts parsedToken, h header, now time.Time) error {
	if now.IsZero() {
		now = c.validFrom()
	}
	if c.issuer.strict && h.algorithm != algES256 {
		return errAlgorithm
	}
	if allowed := c.issuer.Algorithms; len(allowed) > 0 && !slices.Contains(allowed, h.algorithm) {
		return errAlgorithm
	}
	tried := 0
	var refused error
	found, err := c.issuer.tryKeys(h.kid, now, func(key PublicKey) bool {
		if key.Algorithm() != h.algorithm || tried == maxTried || refused != nil {
			return false
		}
		if refused = parts.mayVerify(); refused != nil {
			return false
		}
		tried++
		if signingMethod(h.algorithm).Verify(parts.input, parts.signature, key.key.verify) != nil {
			return false
		}
		c.kid, c.key = h.kid, key
		return true
	})
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return err
	case tried == 0:
		return errAlgorithm
	case !found:
		return errSignature // golang-jwt's own words may quote the token
	}
	return nil
}

// signingMethod is golang-jwt's for an algorithm that a key is bound to. RSASSA-PSS
// has a salt as long as its hash (RFC 7518, section 3.5); golang-jwt would take one
// of any length.
func signingMethod(algorithm string) jwt.SigningMethod {
	method := jwt.GetSigningMethod(algorithm)
	if pss, ok := method.(*jwt.SigningMethodRSAPSS); ok {
		return &jwt.SigningMethodRSAPSS{SigningMethodRSA: pss.SigningMethodRSA, Options: pss.Options}
	}
	return method
}

// checkRegistered judges iss, aud and the order of the times at the first moment
// at which the token could count, since the answer is remembered; what the present
// changes is checkTimes's to judge, every time.
func (c *Claims) checkRegistered(payload object) error {
	if err := c.checkAudience(); err != nil {
		return err
	}
	err := jwt.NewValidator(
		jwt.WithIssuer(c.issuer.ISS),
		jwt.WithAudience(c.issuer.Audiences...),
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(c.validFrom),
	).Validate(registered{c, payload})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return errAudience
	case errors.Is(err, jwt.ErrTokenExpired):
		return errTimeOrder
	}
	return errRegistered
}

// validFrom is the first time at which the token could be valid: the later of iat and nbf.
func (c *Claims) validFrom() time.Time {
	if c.notBefore.After(c.issuedAt) {
		return c.notBefore
	}
	return c.issuedAt
}

// registered shows golang-jwt the registered claims (RFC 7519, section 4.1) as
// they were read.
type registered struct {
	*Claims
	payload object
}

func (r registered) GetExpirationTime() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(r.expires), nil
}

func (r registered) GetIssuedAt() (*jwt.NumericDate, error) {
	return jwt.NewNumericDate(r.issuedAt), nil
}

func (r registered) GetNotBefore() (*jwt.NumericDate, error) {
	if r.notBefore.IsZero() {
		return nil, nil
	}
	return jwt.NewNumericDate(r.notBefore), nil
}

func (r registered) GetIssuer() (string, error) {
	iss, _ := r.payload.get("iss")
	return iss.text, nil
}

func (r registered) GetSubject() (string, error)            { return r.subject, nil }
func (r registered) GetAudience() (jwt.ClaimStrings, error) { return r.audience, nil }

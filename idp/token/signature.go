package token

import (
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// verifySignature checks the signature, and with it issuer, audience and the order of
// the times. The key's algorithm counts, never the token's word for it.
func (c *Claims) verifySignature(parts parsedToken, h header, now time.Time) error {
	var key any = c.issuer.Secret
	algorithm := c.issuer.Algorithm
	if c.issuer.Secret == nil {
		if now.IsZero() {
			now = c.validFrom()
		}
		public, err := c.issuer.key(h.kid, now)
		if err != nil {
			return err
		}
		c.kid, c.key = h.kid, public
		key, algorithm = public.key.verify, public.Algorithm()
	}
	if h.algorithm != algorithm {
		return errAlgorithm
	}
	if signingMethod(algorithm).Verify(parts.input, parts.signature, key) != nil {
		return errSignature // golang-jwt's own words may quote the token
	}
	return c.checkRegistered(parts.payload)
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
// changes is current's to judge, every time.
func (c *Claims) checkRegistered(payload object) error {
	if len(c.issuer.Audiences) == 0 && c.audience != nil {
		return errAudience
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

package token

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Assertion is what a gateway tells one upstream about who is asking. Session,
// AMR and AuthTime may be unknown, where another issuer's token did not say.
type Assertion struct {
	Issuer   string // https://<domain>: a name, not an address
	Audience string // the upstream's name
	Subject  string // as Claims.Subject
	User     string // as Claims.User
	Name     string
	Email    string
	Session  string
	Roles    []string
	AMR      []string

	AuthTime time.Time
	IssuedAt time.Time
	Expires  time.Time
}

// SignAssertion makes an assertion of type vilogate-assertion+jwt.
func (k *PrivateKey) SignAssertion(a Assertion) (string, error) {
	roles, err := assertedRoles(a.Subject, a.Roles)
	authTime := a.AuthTime
	if authTime.IsZero() {
		authTime = a.IssuedAt
	}
	if err := errors.Join(
		claimError("iss", checkIssuer(a.Issuer)),
		claimError("aud", checkIdentifier(a.Audience)),
		claimError("sub", checkAssertedSubject(a.Subject)),
		claimError("preferred_username", checkAssertedUser(a.User)),
		claimError("email", checkEmail(a.Email)),
		claimError("name", checkName(a.Name)),
		claimError("amr", checkAMR(a.AMR)),
		claimError("roles", err),
		checkTimes(authTime, a.IssuedAt, a.Expires),
	); err != nil {
		return "", fmt.Errorf("token: sign an assertion: %w", err)
	}
	payload := signedClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: a.Issuer, Subject: a.Subject, Audience: jwt.ClaimStrings{a.Audience},
			IssuedAt: jwt.NewNumericDate(a.IssuedAt), ExpiresAt: jwt.NewNumericDate(a.Expires),
		},
		Session: a.Session, AMR: a.AMR,
		User: a.User, Name: a.Name, Email: a.Email, Roles: notNil(roles),
	}
	if a.Session != "" {
		if err := checkIdentifier(a.Session); err != nil {
			return "", fmt.Errorf("token: sign an assertion: sid %w", err)
		}
	}
	if !a.AuthTime.IsZero() {
		payload.AuthTime = jwt.NewNumericDate(a.AuthTime)
	}
	return k.sign(typeAssertion, payload)
}

// VerifyAssertion is what a backend does: it takes an assertion made by the
// gateway for this very backend, and nothing else. Its error is [ErrKeysNotLoaded]
// where the assertion may be good all the same.
func VerifyAssertion(raw string, keys KeySource, issuer, audience string, now time.Time) (*Assertion, error) {
	if issuer == "" || audience == "" || keys == nil {
		return nil, fmt.Errorf("%w: neither issuer, audience nor keys may be left out", errInvalid)
	}
	if len(raw) > MaxLength {
		return nil, fmt.Errorf("%w: %w", errInvalid, errTooLong)
	}
	parts, err := parseCompact(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	from := assertionIssuer(issuer, audience, keys)
	if iss, _ := parts.payload.get("iss"); iss.kind != kindString || iss.text != issuer {
		return nil, errOtherIssuer
	}
	c, err := from.check(parts, now)
	if err != nil {
		return nil, err
	}
	if err := c.checkTimes(now); err != nil {
		return nil, err
	}
	return &Assertion{
		Issuer: issuer, Audience: audience, Subject: c.subject, User: c.user, Name: c.name, Email: c.email,
		Session: c.session, Roles: c.roles, AMR: c.amr,
		AuthTime: c.authTime, IssuedAt: c.issuedAt, Expires: c.expires,
	}, nil
}

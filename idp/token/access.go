package token

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// MaxAccess is the longest access token: browsers drop larger cookies.
const MaxAccess = 3584

// Grant is what our own IdP puts into an access token. Every field is required;
// Name, Email, Roles and AMR may be empty. Times are cut to whole seconds.
type Grant struct {
	Issuer   string // https://<login host>[:port]
	Audience string
	Subject  string // stable, never reused
	User     string // [a-z0-9._@+-]
	Email    string
	Name     string
	Session  string // sid
	ID       string // jti
	Roles    []string
	AMR      []string // how they proved who they are, as RFC 8176 calls it

	AuthTime time.Time // when they last did
	IssuedAt time.Time
	Expires  time.Time
}

// signedClaims is the payload of what vilogate signs.
type signedClaims struct {
	jwt.RegisteredClaims
	Session  string           `json:"sid,omitempty"`
	AMR      []string         `json:"amr,omitzero"`
	AuthTime *jwt.NumericDate `json:"auth_time,omitempty"`
	User     string           `json:"preferred_username"`
	Name     string           `json:"name"`
	Email    string           `json:"email"`
	Roles    []string         `json:"roles"`
}

// SignAccess makes an access token of type at+jwt. What a verifier would refuse
// is not signed in the first place.
func (k *PrivateKey) SignAccess(g Grant) (string, error) { return k.signGrant(typeAccess, g) }

// SignSession makes what our own IdP answers a gateway that asks about a session: the
// claims of an access token, of a type of its own that is none.
func (k *PrivateKey) SignSession(g Grant) (string, error) { return k.signGrant(typeSession, g) }

func (k *PrivateKey) signGrant(typ string, g Grant) (string, error) {
	roles, err := strictRoles(g.Roles)
	if err := errors.Join(
		claimError("iss", checkIssuer(g.Issuer)),
		claimError("aud", checkIdentifier(g.Audience)),
		claimError("sub", checkIdentifier(g.Subject)),
		claimError("preferred_username", checkOwnUser(g.User)),
		claimError("email", checkEmail(g.Email)),
		claimError("name", checkName(g.Name)),
		claimError("sid", checkIdentifier(g.Session)),
		claimError("jti", checkIdentifier(g.ID)),
		claimError("amr", checkAMR(g.AMR)),
		claimError("roles", err),
		checkTimes(g.AuthTime, g.IssuedAt, g.Expires),
	); err != nil {
		return "", fmt.Errorf("token: sign an access token: %w", err)
	}
	raw, err := k.sign(typ, signedClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: g.Issuer, Subject: g.Subject, Audience: jwt.ClaimStrings{g.Audience}, ID: g.ID,
			IssuedAt: jwt.NewNumericDate(g.IssuedAt), NotBefore: jwt.NewNumericDate(g.IssuedAt),
			ExpiresAt: jwt.NewNumericDate(g.Expires),
		},
		Session: g.Session, AMR: notNil(g.AMR), AuthTime: jwt.NewNumericDate(g.AuthTime),
		User: g.User, Name: g.Name, Email: g.Email, Roles: notNil(roles),
	})
	if err != nil {
		return "", err
	}
	if len(raw) > MaxAccess {
		return "", fmt.Errorf("token: the access token would take %d bytes, more than the %d that fit a cookie", len(raw), MaxAccess)
	}
	return raw, nil
}

// sign signs with ES256, under the key's id.
func (k *PrivateKey) sign(typ string, payload signedClaims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodES256, payload)
	t.Header["typ"] = typ
	t.Header["kid"] = k.ID()
	raw, err := t.SignedString(k.key)
	if err != nil {
		return "", fmt.Errorf("token: sign: %w", err)
	}
	return raw, nil
}

func claimError(name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	return nil
}

func checkIssuer(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("is not an https address")
	}
	return nil
}

func checkTimes(authTime, issuedAt, expires time.Time) error {
	switch {
	case issuedAt.Unix() <= 0 || expires.Unix() <= issuedAt.Unix() || expires.Unix() > maxTime:
		return errors.New("exp does not lie after iat")
	case authTime.Unix() <= 0 || authTime.After(issuedAt.Add(leeway)):
		return errors.New("auth_time is missing, or lies after iat")
	}
	return nil
}

func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

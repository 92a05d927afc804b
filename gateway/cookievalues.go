package gateway

import (
	"errors"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

var errCookieConflict = errors.New("gateway: cookies of one name of several sessions")

// signedValues are the values of the cookie that its issuer signed. Any other is no
// rival: anybody below the domain can set it, and another deployment does.
func (x *authentication) signedValues(cookie Cookie) ([]token.SignedValue, error) {
	signed, err := x.gen.Verifier.SignedValues(cookie.Issuer, x, request.CookieValues(x.r.Header, cookie.Name))
	if errors.Is(err, token.ErrTooManyValues) {
		return nil, errCookieConflict
	}
	return signed, err
}

// latestOfOneSession is the value with the latest iat, where all are of one session. Of
// two sessions none counts: a sibling host could have planted its own beside the victim's
// expired one, and the victim would act as somebody else.
func latestOfOneSession(signed []token.SignedValue) (token.SignedValue, error) {
	latest := signed[0]
	for _, v := range signed[1:] {
		if sessionOf(v.Claims) != sessionOf(latest.Claims) {
			return token.SignedValue{}, errCookieConflict
		}
		if v.Claims.IssuedAt().After(latest.Claims.IssuedAt()) {
			latest = v
		}
	}
	return latest, nil
}

// sessionOf names the session of a token; where its issuer has none, its subject.
func sessionOf(c *token.Claims) [2]string { return [2]string{c.Session(), c.Subject()} }

// namesLiving reports whether a token may still sign out: one that names a session
// or itself always, and one that names only its subject until it has expired. A
// token of years ago would otherwise end what the subject has today.
func namesLiving(c *token.Claims, now time.Time) bool {
	return c.Session() != "" || c.ID() != "" || now.Before(c.Expires())
}

package gateway

import (
	"errors"

	"github.com/viloforge/vilogate/idp/token"
)

var (
	errHeaderTwice  = errors.New("gateway: a header with a token stands there twice")
	errOtherSubject = errors.New("gateway: credentials of two people")
)

// verifyTokenHeaders verifies the tokens that proxies before the gateway send in
// headers of their own: each header's of its issuer alone. nil means that none counts,
// and the record says why. Good ones of two people, or different lines of one header,
// which a client may have begun, are nobody's: errOtherSubject.
func (x *authentication) verifyTokenHeaders() (found *token.Claims, err error) {
	for _, known := range x.gen.TokenHeaders {
		lines := x.r.Header[known.Name]
		if len(lines) == 0 {
			continue
		}
		claims, err := x.verifyTokenHeader(lines, known.Issuer)
		switch {
		case errors.Is(err, token.ErrKeysNotLoaded), errors.Is(err, token.ErrTooManyKeys):
			return nil, err
		case err == nil && found != nil && !samePerson(found, claims):
			err = errOtherSubject
		case err == nil && found == nil:
			found = claims
		}
		if err == nil {
			continue
		}
		reason := token.Reason(err)
		conflict := errors.Is(err, errHeaderTwice) || errors.Is(err, errOtherSubject)
		if conflict {
			reason = reasonConflict
		}
		x.record.refusedCookies = append(x.record.refusedCookies, RefusedCookie{Name: known.Name, Issuer: known.Issuer, Reason: reason})
		if conflict {
			return nil, errOtherSubject
		}
	}
	return found, nil
}

func (x *authentication) verifyTokenHeader(lines []string, issuer string) (*token.Claims, error) {
	for _, line := range lines[1:] {
		if line != lines[0] {
			return nil, errHeaderTwice
		}
	}
	return x.verifyOf(issuer, lines[0])
}

// samePerson reports whether two tokens are of one person: of one subject, or, of two
// issuers, of one user name, which is possible only where the configuration says that
// their names are ours. Of one issuer the subject alone says who.
func samePerson(a, b *token.Claims) bool {
	return a.Subject() == b.Subject() || a.IssuerName() != b.IssuerName() && a.User() == b.User()
}

// reasonConflict is why a credential did not count beside another, in records.
const reasonConflict = "conflict"

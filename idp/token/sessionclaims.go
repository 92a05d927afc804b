package token

import (
	"fmt"
	"time"
)

// VerifySession judges what our own IdP says of a session (SignSession), as Verify does
// an access token. Nothing of it is remembered.
func (v *Verifier) VerifySession(raw string, now time.Time) (*Claims, error) {
	if len(raw) > maxOwnLength {
		return nil, fmt.Errorf("%w: %w", errInvalid, errTooLong)
	}
	parts, err := parseCompact(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalid, err)
	}
	i, err := v.findIssuer(parts)
	if err != nil {
		return nil, err
	}
	if i.session == nil {
		return nil, errOtherIssuer
	}
	trial := trial{extra: &v.tries}
	parts.permit = trial.permit
	c, err := i.session.check(parts, now)
	if err != nil {
		return nil, err
	}
	c.decoded = parts.payload.plain()
	return c, v.Revalidate(c, now)
}

// Revalidate judges what changes with time of claims that were verified: they expire, and
// they are revoked. The error is nil where they are good at now.
func (v *Verifier) Revalidate(c *Claims, now time.Time) error {
	_, err := v.current(c, now)
	return err
}

// IsExpired reports whether a token was good until it expired, or until it was revoked:
// what its session may have a successor of.
func IsExpired(err error) bool { return Reason(err) == "expired" || Reason(err) == "revoked" }

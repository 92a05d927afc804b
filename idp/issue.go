package idp

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// issuer makes access tokens.
type issuer struct {
	directory *directory
	keys      *keyring
	iss       string
	audience  string
	ttl       time.Duration
}

// issue returns a new access token of the session that the secret opens, and that session: ErrUnknownSession when there is
// none that counts.
func (i *issuer) issue(ctx context.Context, secret sessionSecret) (raw string, l activeSession, err error) {
	l, err = i.directory.findSession(ctx, secret)
	if err != nil {
		return "", activeSession{}, err
	}
	// From here on nobody ends what this subject has; what was ended until now is not found again.
	lock := i.directory.locks.forSubject(l.account.ID)
	lock.RLock()
	defer lock.RUnlock()
	l, err = i.directory.findSession(ctx, secret)
	if err != nil {
		return "", activeSession{}, err
	}
	issued, err := i.issueTime(ctx, l.account.ID)
	if err != nil {
		return "", activeSession{}, err
	}
	expires := issued.Add(i.ttl)
	if expires.After(l.Expires) {
		expires = l.Expires
	}
	if !expires.After(issued) {
		return "", activeSession{}, ErrUnknownSession // its last second
	}
	if ttl := expires.Sub(issued); ttl > l.tokenTTL {
		if err := i.directory.lengthenTokens(ctx, l.ID, ttl); err != nil {
			return "", activeSession{}, err
		}
	}
	raw, err = i.keys.signing.SignAccess(token.Grant{
		Issuer: i.iss, Audience: i.audience, Subject: l.account.ID, User: l.account.Name, Email: l.account.Email,
		Name: l.account.FullName, Session: l.ID, ID: strings.ToLower(rand.Text()), Roles: l.account.Roles, AMR: l.AMR,
		AuthTime: l.AuthTime, IssuedAt: issued, Expires: expires,
	})
	if err != nil {
		return "", activeSession{}, fmt.Errorf("issuing an access token: %w", err)
	}
	return raw, l, i.directory.touchSession(ctx, l)
}

// issueTime is the iat of a token that is issued now: later than the moment up to which everything of the subject is
// revoked. Times are whole seconds, so that it may have to wait for the next; a moment further ahead, of a clock that was
// wrong, is not waited for but dated past.
func (i *issuer) issueTime(ctx context.Context, subject string) (time.Time, error) {
	now := i.directory.now()
	issued := now.Truncate(time.Second)
	cutoff, ok := i.directory.revocations.SubjectCutoff(token.OwnIssuer, subject)
	if !ok || issued.After(cutoff) {
		return issued, nil
	}
	issued = cutoff.Truncate(time.Second).Add(time.Second)
	if wait := issued.Sub(now); wait <= time.Second {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
	return issued, nil
}

// checkTokenSize says why nobody could be issued a token with these facts: it would not fit a cookie, or a gateway would refuse
// it. Names that are not known here are taken to be as long as they can be.
func checkTokenSize(u User) error {
	key, err := token.GenerateKey()
	if err != nil {
		return err
	}
	now := time.Unix(1<<33, 0)
	_, err = key.SignAccess(token.Grant{
		Issuer: "https://" + strings.Repeat("h", 253) + ":65535", Audience: strings.Repeat("a", 128),
		Subject: strings.Repeat("s", len(rand.Text())), User: u.Name, Email: u.Email, Name: u.FullName,
		Session: rand.Text(), ID: rand.Text(), Roles: u.Roles, AMR: []string{"pwd", "otp", "hwk", "user", "mfa"},
		AuthTime: now, IssuedAt: now, Expires: now.Add(token.LongestSession),
	})
	if err != nil {
		return fmt.Errorf("no token could be made of this: %w", err)
	}
	return nil
}

package idp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/viloforge/vilogate/idp/internal/renewal"
	"github.com/viloforge/vilogate/idp/token"
)

// issuer makes access tokens.
type issuer struct {
	directory *directory
	keys      *keyring
	iss       string
	audience  string
	times     renewal.Times
}

// visit is what a browser brings to the login host beside the secret of its session.
type visit struct {
	tokens []*token.Claims // of its SSO cookies, whose signatures are good
	client string          // its address
}

// handle is the latest of the session's own tokens that is not revoked; zero where there is none.
func (v visit) handle(l activeSession, revocations Revocations) (h renewal.Handle) {
	for _, c := range v.tokens {
		if c.Session() == l.ID && c.IssuedAt().Unix() > h.Issued && !revocations.HandleRevoked(token.OwnIssuer, c.ID(), l.ID, c.IssuedAt()) {
			h = renewal.Handle{ID: c.ID(), Issued: c.IssuedAt().Unix()}
		}
	}
	return h
}

// issued is what a visit of the login host leads to.
type issued struct {
	token   string
	session activeSession
	// replaced says that the browser's own token had been replaced for somebody at the address replacedBy. Nothing that was issued
	// until now counts any more.
	replaced   bool
	replacedBy string
	// unused says that what took its place was not presented since: perhaps nobody has it, and the answer that brought it was lost.
	unused bool
}

// maxAhead is how far ahead of the clock a token may be dated: gateways take no more.
const maxAhead = time.Minute

// errReplaced has a visit begin anew, excluding others.
var errReplaced = errors.New("something of the session ends")

// issue returns an access token of the session that the secret opens: ErrUnknownSession when there is none that counts.
func (i *issuer) issue(ctx context.Context, secret sessionSecret, v visit) (issued, error) {
	l, err := i.directory.findSession(ctx, secret)
	if err != nil {
		return issued{}, err
	}
	// From here on nobody ends what this subject has; what was ended until now is not found again.
	lock := i.directory.locks.forSubject(l.account.ID)
	lock.RLock()
	answer, err := i.issueLocked(ctx, secret, v, false)
	lock.RUnlock()
	if !errors.Is(err, errReplaced) {
		return answer, err
	}
	lock.Lock() // for something ends
	defer lock.Unlock()
	return i.issueLocked(ctx, secret, v, true)
}

// issueLocked is issue with the subject's lock held, exclusively where it is to end what had been issued.
func (i *issuer) issueLocked(ctx context.Context, secret sessionSecret, v visit, exclusive bool) (answer issued, err error) {
	l, err := i.directory.findSession(ctx, secret)
	if err != nil {
		return issued{}, err
	}
	if err := i.awaitSecond(ctx, l.tokens); err != nil {
		return issued{}, err
	}
	now, handle := i.directory.now(), v.handle(l, i.directory.revocations)
	if ahead := now.Add(maxAhead).Unix(); l.tokens.Issued > ahead && l.tokens.SubjectCutoff < ahead {
		// The clock ran ahead and was set back: no token could be issued that gateways take, later than those that were. Where all
		// of the subject is revoked up to a moment that is ahead, another session would not help.
		if !exclusive {
			return issued{}, errReplaced
		}
		return issued{}, errors.Join(ErrUnknownSession, i.directory.revokeSessions(ctx, sessionEntry(l.ID, l.Expires)))
	}
	if next, replaced := l.tokens.Login(handle, newTokenID(), now, i.times); replaced {
		if !exclusive {
			return issued{}, errReplaced
		}
		if err := i.directory.publish(ctx, cutoffEntries(l, next.Cutoff)...); err != nil {
			return issued{}, err
		}
		answer.replaced, answer.replacedBy, answer.unused = true, l.tokenAddress, !l.tokens.Returned
	}
	raced := false
	answer.session, err = i.directory.changeTokens(ctx, l.ID, v.client, func(r renewal.Row) renewal.Row {
		next, replaced := r.Login(handle, newTokenID(), now, i.times) // with the cutoff that was just published, where one was
		if raced = replaced; raced {
			return r
		}
		return next
	})
	switch {
	case err != nil:
		return issued{}, err
	case raced:
		return issued{}, errReplaced
	}
	if answer.token, err = i.sign(ctx, answer.session); err != nil {
		return issued{}, err
	}
	return answer, nil
}

// sign makes the access token that the session's row says is its latest: each time the same but for the signature.
func (i *issuer) sign(ctx context.Context, l activeSession) (raw string, err error) {
	issued := time.Unix(l.tokens.Issued, 0)
	expires := issued.Add(i.times.TTL)
	if expires.After(l.Expires) {
		expires = l.Expires
	}
	if !expires.After(issued) {
		return "", ErrUnknownSession // its last second
	}
	if ttl := expires.Sub(issued); ttl > l.tokenTTL {
		if err := i.directory.extendTokens(ctx, l.ID, ttl); err != nil {
			return "", err
		}
	}
	if raw, err = i.keys.signing.SignAccess(i.grant(l, l.tokens.Current, issued, expires)); err != nil {
		return "", fmt.Errorf("issuing an access token: %w", err)
	}
	return raw, nil
}

// grant is what a token of the session says.
func (i *issuer) grant(l activeSession, jti string, issued, expires time.Time) token.Grant {
	return token.Grant{
		Issuer: i.iss, Audience: i.audience, Subject: l.account.ID, User: l.account.Name, Email: l.account.Email,
		Name: l.account.FullName, Session: l.ID, ID: jti, Roles: l.account.Roles, AMR: l.AMR,
		AuthTime: l.AuthTime, IssuedAt: issued, Expires: expires,
	}
}

// awaitSecond waits for the second in which a token may be issued that no revocation names: times are whole seconds. A moment
// further ahead, of a clock that was wrong, is not waited for but dated past.
func (i *issuer) awaitSecond(ctx context.Context, r renewal.Row) error {
	now := i.directory.now()
	wait := time.Unix(max(r.Cutoff, r.SubjectCutoff)+1, 0).Sub(now)
	if wait <= 0 || wait > time.Second {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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

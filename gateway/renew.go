package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/renewals"
	"github.com/viloforge/vilogate/idp/backchannel"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// How long a request waits for the identity provider.
const (
	checkTimeout       = 2 * time.Second
	publicCheckTimeout = 250 * time.Millisecond // where it goes on as anonymous all the same
	rotateTimeout      = 2 * time.Second        // of a token that has expired
	earlyRotateTimeout = 250 * time.Millisecond // of one that has not
)

// seenInterval is how long a browser is renewed without passing the login host, where it navigates: that costs it a redirect.
const seenInterval = time.Hour

// Reasons for which a cookie did not count.
const (
	reasonStale   = "stale"    // another token of its session took its place
	reasonReturn  = "return"   // its browser has to be seen at the login host
	reasonUnasked = "idp-away" // the identity provider does not say
)

// question is what the identity provider is asked about the handle.
func (x *received) question(h handle) backchannel.Question {
	return backchannel.Question{Handle: h.value, Client: x.client, RequestID: x.requestID}
}

// isRenewed reports whether tokens in the cookie are renewed here: our own IdP's, where it is asked.
func (gen *Generation) isRenewed(cookie Cookie) bool {
	return gen.Login.Sessions != nil && cookie.Issuer == token.OwnIssuer
}

// renewEarly notes a good token that is in the last fifth of its life.
func (x *authentication) renewEarly(cookie Cookie, value string, c *token.Claims) {
	if x.start.After(c.Expires().Add(-c.Expires().Sub(c.IssuedAt())/5)) && x.gen.isRenewed(cookie) {
		x.handle = handle{value: value, claims: c}
	}
}

// checkHandle finds out whether the expired token in a cookie stands for a session that lives, and returns the session's claims as
// of now. cause is why the token does not count by itself; it is returned where the cookie does not count at all. What is a
// refusal means that nobody knows.
func (x *authentication) checkHandle(cookie Cookie, public bool, cause error) (*token.Claims, error) {
	if !x.gen.isRenewed(cookie) || !token.IsExpired(cause) || x.CrossSite() {
		return nil, cause
	}
	signed, err := x.signedValues(cookie)
	if err != nil {
		return nil, err
	}
	latest, err := latestOfOneSession(signed)
	if err != nil {
		return nil, err
	}
	h := handle{value: latest.Value, claims: latest.Claims, expired: true}
	timeout := checkTimeout
	if public {
		timeout = publicCheckTimeout
	}
	if x.handleRevoked(h) {
		return nil, cause
	}
	checked, err := x.check(h, timeout)
	switch {
	case errors.Is(err, backchannel.ErrRefused):
		return nil, errStale
	case errors.Is(err, backchannel.ErrReturn):
		return nil, errReturn
	case errors.Is(err, backchannel.ErrUnsupported):
		return nil, cause
	case err != nil:
		return nil, refuseSessionUnknown(err)
	case x.isNavigation() && x.start.Sub(checked.Seen) > seenInterval:
		return nil, errReturn
	}
	if err := x.gen.Verifier.Revalidate(checked.Claims, x.g.opts.Now()); err != nil {
		return nil, err
	}
	x.handle = h
	return checked.Claims, nil
}

var (
	errStale  = errors.New("gateway: another token took the place of the cookie's")
	errReturn = errors.New("gateway: the browser has to be seen at the login host")
	errOther  = errors.New("gateway: the identity provider speaks of another session")
)

// cookieReason is why a cookie did not count, in a word.
func cookieReason(err error) string {
	switch {
	case errors.Is(err, errStale):
		return reasonStale
	case errors.Is(err, errReturn):
		return reasonReturn
	}
	return token.Reason(err)
}

// check asks about a handle, unless the revocation list knows already: before, and with the answer.
func (x *received) check(h handle, timeout time.Duration) (renewals.Checked, error) {
	if x.handleRevoked(h) {
		return renewals.Checked{}, backchannel.ErrRefused
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	checked, err := x.g.renewals.Check(ctx, x.gen.Login.Sessions, h.claims.ID(), x.question(h), func(raw string) (*token.Claims, error) {
		return x.gen.Verifier.VerifySession(raw, x.g.opts.Now())
	})
	switch {
	case x.handleRevoked(h):
		return renewals.Checked{}, backchannel.ErrRefused
	case err != nil:
		return renewals.Checked{}, err
	case checked.Claims.Session() != h.claims.Session() || checked.Claims.Subject() != h.claims.Subject():
		return renewals.Checked{}, errOther
	}
	return checked, nil
}

// handleRevoked reports whether nothing of the handle counts any more.
func (x *received) handleRevoked(h handle) bool {
	c := h.claims
	return x.g.opts.Revocations.HandleRevoked(c.IssuerName(), c.ID(), c.Session(), c.IssuedAt())
}

// rotate adds a successor of the handle to an answer whose header is about to leave. Where there is none in time, the cookie is
// left as it is, and the claims are nil.
func (x *decided) rotate(status int) *token.Claims {
	h := x.authentication.handle
	public := x.route() != nil && x.route().Public()
	if h.value == "" || !x.authentication.byCookie || public || status == http.StatusNotModified || request.IsPrefetch(x.r.Header) {
		return nil
	}
	timeout := earlyRotateTimeout
	if h.expired {
		timeout = rotateTimeout
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), timeout)
	defer cancel()
	successor, err := x.g.renewals.Rotate(ctx, x.gen.Login.Sessions, h.claims.ID(), x.question(h))
	if err != nil || successor.Token == "" {
		return nil
	}
	claims, err := x.verifySuccessor(h, successor.Token)
	switch {
	case errors.Is(err, backchannel.ErrRefused):
		return nil // it was revoked meanwhile
	case err != nil:
		x.g.opts.Log.Error("the identity provider gave a token in place of an expired one that cannot be used, and the cookie stays as it was", "error", err, "request_id", x.requestID)
		return nil
	}
	name := x.gen.Cookies[0].Name
	life := int(successor.Ends.Sub(x.g.opts.Now()) / time.Second)
	if life <= 0 {
		return nil
	}
	x.record.renewed = true
	x.reply.setCookies = append(x.reply.setCookies, domainCookie(name, successor.Token, x.gen.Domain, life))
	sessions := x.gen.Login.Sessions
	x.reply.onSent(func() { x.g.renewals.Delivered(sessions, successor.Token) })
	if status == http.StatusSwitchingProtocols {
		x.reply.sent() // what is written from now on is not seen here
	}
	return claims
}

// verifySuccessor judges what is to be set as the cookie: it is ours, of the same session and subject, and not revoked. It may
// have expired by now.
func (x *decided) verifySuccessor(h handle, raw string) (*token.Claims, error) {
	signed, err := x.gen.Verifier.SignedValues(token.OwnIssuer, nil, slices.Values([]string{raw}))
	if err != nil {
		return nil, err
	}
	c := signed[0].Claims
	switch {
	case c.Session() != h.claims.Session() || c.Subject() != h.claims.Subject():
		return nil, errOther
	case x.handleRevoked(handle{claims: c}):
		return nil, backchannel.ErrRefused
	}
	return c, nil
}

// signsOut reports whether an own token in a cookie, whose signature is good, may sign its session out: while it has not expired,
// while it stands for the session, or where that is over already. The error means that nobody knows.
func (x *authentication) signsOut(cookie Cookie, v token.SignedValue) (bool, error) {
	c := v.Claims
	switch {
	case !x.gen.isRenewed(cookie):
		return namesLiving(c, x.start), nil
	case x.g.opts.Revocations.SessionRevoked(c.IssuerName(), c.Session()), x.gen.Verifier.Revalidate(c, x.start) == nil:
		return true, nil
	}
	_, err := x.check(handle{value: v.Value, claims: c, expired: true}, checkTimeout)
	switch {
	case errors.Is(err, backchannel.ErrRefused):
		return false, nil
	case err == nil, errors.Is(err, backchannel.ErrReturn), errors.Is(err, backchannel.ErrUnsupported):
		return true, nil
	}
	return false, refuseSessionUnknown(err)
}

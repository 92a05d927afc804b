package idp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/idp/backchannel"
	"github.com/viloforge/vilogate/idp/internal/renewal"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// sessionAnswerTTL is how long a gateway may believe what it is told of a session.
const sessionAnswerTTL = time.Minute

// maxReplaysKept is of how many stale tokens is remembered that they were recorded.
const maxReplaysKept = 4096

// Sessions answers gateways' questions about sessions: it implements [backchannel.Sessions].
type Sessions struct {
	directory *directory
	issuer    *issuer
	verifier  *token.Verifier
	log       *slog.Logger
	audit     Audit // or nil

	mu      sync.Mutex
	replays map[string]struct{} // the jtis of which a replay was recorded
}

// Check implements [backchannel.Sessions]: it is no use of the session.
func (s *Sessions) Check(ctx context.Context, q backchannel.Question) (backchannel.Status, error) {
	c, unlock, err := s.handle(q)
	if err != nil {
		return backchannel.Status{}, err
	}
	defer unlock()
	l, standing, err := s.apply(ctx, c, q, true, func(r renewal.Row, h renewal.Handle, now time.Time) (renewal.Row, renewal.HandleState, bool) {
		next, standing := r.Check(h, now, s.issuer.times)
		return next, standing, false
	})
	switch {
	case err != nil:
		return backchannel.Status{}, err
	case !standing.good:
		return backchannel.Status{}, backchannel.ErrRefused
	case s.unseen(l):
		return backchannel.Status{}, backchannel.ErrReturn
	}
	i, now := s.issuer, s.directory.now()
	issued := now.Truncate(time.Second)
	if after := time.Unix(max(l.tokens.Cutoff, l.tokens.SubjectCutoff)+1, 0); issued.Before(after) {
		issued = after
	}
	claims, err := i.keys.signing.SignSession(i.grant(l, c.ID(), issued, issued.Add(sessionAnswerTTL)))
	if err != nil {
		return backchannel.Status{}, fmt.Errorf("signing what a session is: %w", err)
	}
	return backchannel.Status{Claims: claims, Seen: l.tokens.Seen}, nil
}

// Rotate implements [backchannel.Sessions].
func (s *Sessions) Rotate(ctx context.Context, q backchannel.Question) (backchannel.Successor, error) {
	c, unlock, err := s.handle(q)
	if err != nil {
		return backchannel.Successor{}, err
	}
	defer unlock()
	l, standing, err := s.apply(ctx, c, q, false, func(r renewal.Row, h renewal.Handle, now time.Time) (renewal.Row, renewal.HandleState, bool) {
		if now.Sub(r.Seen) > s.issuer.times.Max {
			return r, r.State(h, now, s.issuer.times), false
		}
		return r.Rotate(h, newTokenID(), now, s.issuer.times)
	})
	switch {
	case err != nil:
		return backchannel.Successor{}, err
	case !standing.good:
		return backchannel.Successor{}, backchannel.ErrRefused
	case !standing.give:
		return backchannel.Successor{}, nil
	}
	raw, err := s.issuer.sign(ctx, l)
	if errors.Is(err, ErrUnknownSession) {
		return backchannel.Successor{}, backchannel.ErrRefused
	}
	return backchannel.Successor{Token: raw, Ends: l.Expires}, err
}

// Delivered implements [backchannel.Sessions].
func (s *Sessions) Delivered(ctx context.Context, raw string) error {
	c, unlock, err := s.handle(backchannel.Question{Handle: raw})
	if err != nil {
		return err
	}
	defer unlock()
	_, err = s.directory.changeTokens(ctx, c.Session(), "", func(r renewal.Row) renewal.Row {
		return r.MarkDelivered(c.ID(), s.directory.now())
	})
	if errors.Is(err, ErrUnknownSession) {
		return nil // it is over, and nothing depends on it
	}
	return err
}

// Active implements [backchannel.Sessions].
func (s *Sessions) Active(ctx context.Context, session string, issued time.Time) (active bool, until time.Time, err error) {
	d := s.directory
	l, err := d.findActive(ctx, d.db.SQL(), bySessionID, session)
	switch {
	case errors.Is(err, ErrUnknownSession):
		return false, time.Time{}, nil
	case err != nil:
		return false, time.Time{}, err
	case issued.Unix() <= l.tokens.Cutoff:
		return false, time.Time{}, nil
	}
	until = l.Used.Add(d.idle)
	if l.Expires.Before(until) {
		until = l.Expires
	}
	return true, until, nil
}

// identifiesSession reports whether an expired token is a good handle. Nothing is noted of it.
func (s *Sessions) identifiesSession(ctx context.Context, c *token.Claims) (bool, error) {
	if s.directory.revocations.HandleRevoked(token.OwnIssuer, c.ID(), c.Session(), c.IssuedAt()) {
		return false, nil
	}
	d := s.directory
	l, err := d.findActive(ctx, d.db.SQL(), bySessionID, c.Session())
	switch {
	case errors.Is(err, ErrUnknownSession):
		return false, nil
	case err != nil:
		return false, err
	}
	h := renewal.Handle{ID: c.ID(), Issued: c.IssuedAt().Unix()}
	return l.tokens.State(h, s.directory.now(), s.issuer.times).Valid(), nil
}

// unseen reports whether the session's browser has to pass the login host before it is renewed any more.
func (s *Sessions) unseen(l activeSession) bool {
	return s.directory.now().Sub(l.tokens.Seen) > s.issuer.times.Max
}

// handle verifies the handle's signature, and holds its subject's lock, shared, until unlock is called: nothing ends meanwhile. A
// handle that the revocation list names is refused before anything else.
func (s *Sessions) handle(q backchannel.Question) (c *token.Claims, unlock func(), err error) {
	list := s.directory.revocations
	list.AwaitSync(s.directory.now())
	if list.Stale(s.directory.now()) {
		return nil, nil, errStale
	}
	signed, err := s.verifier.SignedValues(token.OwnIssuer, nil, slices.Values([]string{q.Handle}))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", backchannel.ErrRefused, err)
	}
	c = signed[0].Claims
	lock := s.directory.locks.forSubject(c.Subject())
	lock.RLock()
	if list.HandleRevoked(token.OwnIssuer, c.ID(), c.Session(), c.IssuedAt()) {
		lock.RUnlock()
		return nil, nil, backchannel.ErrRefused
	}
	return c, lock.RUnlock, nil
}

// verdict is what a row says of a handle, and whether its token is given for it.
type verdict struct{ good, give bool }

// apply has a rule judge the session's row, and writes what changes of it. A handle that was good when its request came, and is
// stale when the answer leaves, is no replay: then conclude is false.
func (s *Sessions) apply(
	ctx context.Context, c *token.Claims, q backchannel.Question,
	conclude bool, rule func(renewal.Row, renewal.Handle, time.Time) (renewal.Row, renewal.HandleState, bool),
) (l activeSession, v verdict, err error) {
	d, now, h := s.directory, s.directory.now(), renewal.Handle{ID: c.ID(), Issued: c.IssuedAt().Unix()}
	l, err = d.findActive(ctx, d.db.SQL(), bySessionID, c.Session())
	standing := renewal.Stale
	if err == nil && l.account.ID == c.Subject() {
		var next renewal.Row
		if next, standing, v.give = rule(l.tokens, h, now); next != l.tokens {
			l, err = d.changeTokens(ctx, c.Session(), request.AddressText(q.Client), func(r renewal.Row) (next renewal.Row) {
				next, standing, v.give = rule(r, h, now)
				return next
			})
		}
	}
	if errors.Is(err, ErrUnknownSession) {
		return l, verdict{}, nil
	}
	v.good = standing.Valid()
	if err == nil && (conclude || standing != renewal.Stale) {
		s.record(c, q, standing, l.tokens.Current != "")
	}
	return l, v, err
}

// record records what a handle shows of others: that it was replaced, or that the database has lost something.
func (s *Sessions) record(c *token.Claims, q backchannel.Question, standing renewal.HandleState, known bool) {
	name, reason := "", ""
	switch standing {
	case renewal.Stale:
		if !known {
			return // the session is from before there were successors
		}
		name, reason = audit.EventSessionReplay, "refused: another token took its place"
	case renewal.Ahead:
		name, reason = audit.EventSessionBehind, "the database knew only earlier tokens of the session"
	default:
		return
	}
	if !s.first(c.ID()) {
		return
	}
	s.log.Warn(name, "reason", reason, "user", c.User(), "subject", c.Subject(), "session", c.Session(), "client", request.AddressText(q.Client), "request_id", q.RequestID)
	if s.audit == nil {
		return
	}
	s.audit.PutEventBestEffort(&audit.Event{
		Version: audit.Version, Time: s.directory.now().UTC(), Event: name, Result: audit.Failure, Reason: reason,
		Client: q.Client, RequestID: q.RequestID, User: c.User(), Subject: c.Subject(), Session: c.Session(),
	})
}

// first reports whether nothing was recorded of a jti yet. Where too many are remembered, all are forgotten.
func (s *Sessions) first(jti string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.replays[jti]; ok {
		return false
	}
	if len(s.replays) >= maxReplaysKept {
		clear(s.replays)
	}
	s.replays[jti] = struct{}{}
	return true
}

package idp

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/viloforge/vilogate/idp/internal/renewal"
	"github.com/viloforge/vilogate/idp/token"
)

// ErrUnknownSession means that there is no live session of that id.
var ErrUnknownSession = errors.New("there is no such session")

// errChanged means that a user was changed while somebody signed in with what was true before.
var errChanged = errors.New("the user was changed meanwhile")

const (
	// maxSessions is how many sessions a user may have at a time.
	maxSessions = 100
	// lastUsedResolution is how precisely the last use of a session is remembered.
	lastUsedResolution = time.Minute
	// maxUserAgent cuts what a browser says of itself.
	maxUserAgent = 256
	// newDeviceFor is how long a browser is called new after the account first saw it. It counts from the browser and not from the
	// session, so that a second login does not hide that there was a first.
	newDeviceFor = 30 * 24 * time.Hour
)

// Session is one login of one browser.
type Session struct {
	ID        string    `json:"id"` // the sid of its tokens: no secret
	User      string    `json:"user"`
	AMR       []string  `json:"amr"`
	AuthTime  time.Time `json:"auth_time"`
	Used      time.Time `json:"used"`
	Expires   time.Time `json:"expires"` // the absolute end
	Address   string    `json:"address"`
	UserAgent string    `json:"user_agent"`
	NewDevice bool      `json:"new_device"` // the account first saw its browser of late
}

// activeSession is an active session, and whose it is.
type activeSession struct {
	Session
	account      account
	tokenTTL     time.Duration // the longest that a token of it was issued for
	tokens       renewal.Row
	tokenAddress string // of the client that the latest token was first given to
}

// sessionSecret is what the session cookie holds: whoever has it is signed in. The database knows its hash alone.
type sessionSecret [secretBytes]byte

func (s sessionSecret) cookie() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

func (s sessionSecret) hash() []byte { h := sha256.Sum256(s[:]); return h[:] }

func parseSessionSecret(cookie string) (s sessionSecret, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || len(raw) != secretBytes {
		return s, false
	}
	return sessionSecret(raw), true
}

const sessionColumns = `s.id, s.amr, s.auth_time, s.used, s.expires, s.address, s.user_agent, s.token_ttl, s.browser_since,
	s.token_id, s.token_issued, s.token_previous, s.token_given_ms, s.token_delivered_ms, s.token_returned, s.token_address, s.cutoff, s.browser_seen,
	u.id, u.name, u.email, u.full_name, u.roles, u.password, u.epoch, u.disabled, u.created, u.changed`

// activeCondition is the condition under which a session is active, but for the revocation list.
const activeCondition = "s.epoch = u.epoch AND u.disabled = 0 AND u.deleted IS NULL AND s.expires > ? AND s.used > ?"

// prefixScanner scans the first columns of a row itself and leaves the others to somebody else.
type prefixScanner struct {
	row  scanner
	into []any
}

func (c prefixScanner) Scan(into ...any) error { return c.row.Scan(append(c.into, into...)...) }

func (d *directory) scanSession(row scanner) (l activeSession, err error) {
	var amr string
	var authTime, used, expires, tokenTTL, since, given, delivered, seen int64
	r := &l.tokens
	l.account, err = scanAccount(prefixScanner{row, []any{
		&l.ID, &amr, &authTime, &used, &expires, &l.Address, &l.UserAgent, &tokenTTL, &since,
		&r.Current, &r.Issued, &r.Previous, &given, &delivered, &r.Returned, &l.tokenAddress, &r.Cutoff, &seen,
	}})
	r.Given, r.Delivered, r.Seen = fromMillis(given), fromMillis(delivered), time.Unix(seen, 0)
	l.User, l.AMR = l.account.Name, splitList(amr)
	l.AuthTime, l.Used, l.Expires = time.Unix(authTime, 0), time.Unix(used, 0), time.Unix(expires, 0)
	l.tokenTTL = time.Duration(tokenTTL) * time.Second
	l.NewDevice = d.now().Sub(time.Unix(since, 0)) < newDeviceFor
	return l, err
}

// findSession returns the session of a cookie's secret: ErrUnknownSession when there is none that counts. One that the
// revocation list names is over, and removed.
func (d *directory) findSession(ctx context.Context, secret sessionSecret) (activeSession, error) {
	return d.findActive(ctx, d.db.SQL(), bySecret, secret.hash())
}

// querier is a database, or a transaction.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// The conditions that name a session.
const (
	bySessionID = "s.id = ?"
	bySecret    = "s.secret = ?"
)

func selectActive(condition string) string {
	return "SELECT " + sessionColumns + " FROM sessions s JOIN users u ON u.id = s.user_id WHERE " + condition + " AND " + activeCondition
}

// prepare has the database parse once what a server asks most.
func (d *directory) prepare(ctx context.Context) error {
	d.active = map[string]*sql.Stmt{}
	for _, condition := range []string{bySessionID, bySecret} {
		statement, err := d.db.SQL().PrepareContext(ctx, selectActive(condition))
		if err != nil {
			return fmt.Errorf("preparing what finds a session: %w", err)
		}
		d.active[condition] = statement
	}
	return nil
}

// queryActive asks for the session that a condition names.
func (d *directory) queryActive(ctx context.Context, in querier, condition string, args ...any) *sql.Row {
	statement := d.active[condition]
	if statement == nil {
		return in.QueryRowContext(ctx, selectActive(condition), args...)
	}
	if tx, ok := in.(*sql.Tx); ok {
		statement = tx.StmtContext(ctx, statement)
	}
	return statement.QueryRowContext(ctx, args...)
}

// findActive returns the session that a condition names.
func (d *directory) findActive(ctx context.Context, in querier, condition string, value any) (activeSession, error) {
	now := d.now()
	l, err := d.scanSession(d.queryActive(ctx, in, condition, value, now.Unix(), now.Add(-d.idle).Unix()))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return activeSession{}, ErrUnknownSession
	case err != nil:
		return activeSession{}, fmt.Errorf("finding a session: %w", err)
	case !d.revocations.SessionRevoked(token.OwnIssuer, l.ID):
		return d.withCutoffs(l), nil
	case in == querier(d.db.SQL()):
		err = d.removeSession(ctx, l.ID)
	}
	return activeSession{}, errors.Join(ErrUnknownSession, err)
}

// withCutoffs adds what the revocation list says of the session's tokens.
func (d *directory) withCutoffs(l activeSession) activeSession {
	if cutoff, ok := d.revocations.SessionCutoff(token.OwnIssuer, l.ID); ok {
		l.tokens.Cutoff = max(l.tokens.Cutoff, cutoff.Unix())
	}
	if cutoff, ok := d.revocations.SubjectCutoff(token.OwnIssuer, l.account.ID); ok {
		l.tokens.SubjectCutoff = cutoff.Unix()
	}
	return l
}

// fromMillis is a time as the database keeps it in milliseconds, toMillis the reverse; 0 is no time.
func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func toMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// sessions returns the sessions that count, the newest first: those of a user and of an id, each of which may be empty
// for any.
func (d *directory) sessions(ctx context.Context, userID, id string) (found []Session, err error) {
	now := d.now()
	rows, err := d.db.SQL().QueryContext(ctx, "SELECT "+sessionColumns+" FROM sessions s JOIN users u ON u.id = s.user_id"+
		" WHERE (? = '' OR u.id = ?) AND (? = '' OR s.id = ?) AND "+activeCondition+" ORDER BY s.auth_time DESC, s.id",
		userID, userID, id, id, now.Unix(), now.Add(-d.idle).Unix())
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	found = []Session{}
	for rows.Next() {
		l, err := d.scanSession(rows)
		if err != nil {
			return nil, fmt.Errorf("listing sessions: %w", err)
		}
		if !d.revocations.SessionRevoked(token.OwnIssuer, l.ID) {
			found = append(found, l.Session)
		}
	}
	return found, rows.Err()
}

// extendTokens remembers that a token of the session is issued for longer than those before it.
func (d *directory) extendTokens(ctx context.Context, id string, ttl time.Duration) error {
	if _, err := d.db.SQL().ExecContext(ctx, "UPDATE sessions SET token_ttl = max(token_ttl, ?) WHERE id = ?", wholeSeconds(ttl), id); err != nil {
		return fmt.Errorf("using a session: %w", err)
	}
	return nil
}

// wholeSeconds is a duration as the database keeps it, rounded up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// touchSession updates the last use, from which the idle timeout counts, at most once a minute.
func (d *directory) touchSession(ctx context.Context, l activeSession) error {
	now := d.now()
	if now.Sub(l.Used) < lastUsedResolution {
		return nil
	}
	_, err := d.db.SQL().ExecContext(ctx, "UPDATE sessions SET used = ? WHERE id = ? AND used < ?", now.Unix(), l.ID, now.Unix())
	if err != nil {
		return fmt.Errorf("using a session: %w", err)
	}
	return nil
}

func (d *directory) removeSession(ctx context.Context, id string) error {
	if _, err := d.db.SQL().ExecContext(ctx, "DELETE FROM sessions WHERE id = ?", id); err != nil {
		return fmt.Errorf("removing a session: %w", err)
	}
	return nil
}

// purge removes the sessions and the known browsers that can never count again.
func (d *directory) purge(ctx context.Context) error {
	now := d.now()
	if _, err := d.db.SQL().ExecContext(ctx, "DELETE FROM sessions WHERE expires <= ? OR used <= ?", now.Unix(), now.Add(-d.idle).Unix()); err != nil {
		return fmt.Errorf("removing old sessions: %w", err)
	}
	return d.purgeKnownBrowsers(ctx)
}

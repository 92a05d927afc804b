package idp

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
)

// sessionParams is what a new session is made of.
type sessionParams struct {
	account   account // as it was when the password was checked
	amr       []string
	address   string
	userAgent string
	since     time.Time // when the account first saw the browser; zero where that is not known
	max       time.Duration
	tokenTTL  time.Duration // of its access tokens
}

// createSession makes a session, unless the user was changed or disabled since the password was checked. Of a user who has
// as many as there may be, it ends the one that was not used for the longest.
func (d *directory) createSession(ctx context.Context, b sessionParams) (sessionSecret, error) {
	var secret sessionSecret
	rand.Read(secret[:])
	now := d.now()
	agent := strings.ToValidUTF8(b.userAgent, "")
	if len(agent) > maxUserAgent {
		agent = strings.ToValidUTF8(agent[:maxUserAgent], "")
	}
	lock := d.locks.forSubject(b.account.ID) // so that two logins at a time count each other
	lock.Lock()
	defer lock.Unlock()
	evicted, err := d.sessionsToEvict(ctx, b.account.ID)
	if err != nil {
		return secret, err
	}
	if err := d.revokeSessions(ctx, evicted...); err != nil {
		return secret, err
	}
	err = d.db.GroupCommit(ctx, func(ctx context.Context, tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO sessions (id, secret, user_id, epoch, amr, auth_time, used, expires, address, user_agent, token_ttl, browser_since)
			SELECT ?, ?, id, epoch, ?, ?, ?, ?, ?, ?, ?, ? FROM users WHERE id = ? AND epoch = ? AND disabled = 0 AND deleted IS NULL`,
			strings.ToLower(rand.Text()), secret.hash(), strings.Join(b.amr, ","), now.Unix(), now.Unix(), now.Add(b.max).Unix(),
			b.address, agent, wholeSeconds(b.tokenTTL), max(0, b.since.Unix()), b.account.ID, b.account.epoch)
		if err != nil {
			return fmt.Errorf("beginning a session: %w", err)
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(errChanged, err)
		}
		return nil
	})
	return secret, err
}

// sessionsToEvict returns the revocations of the sessions to evict before a user begins another: the least recently used.
func (d *directory) sessionsToEvict(ctx context.Context, userID string) (entries []revocation.Entry, err error) {
	rows, err := d.db.SQL().QueryContext(ctx, `SELECT id, used, expires, token_ttl FROM sessions WHERE user_id = ?
		ORDER BY used DESC, auth_time DESC, rowid DESC LIMIT -1 OFFSET ?`, userID, maxSessions-1)
	if err != nil {
		return nil, fmt.Errorf("counting sessions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		var used, expires, tokenTTL int64
		if err := rows.Scan(&id, &used, &expires, &tokenTTL); err != nil {
			return nil, fmt.Errorf("counting sessions: %w", err)
		}
		entries = append(entries, d.replacedEntry(userID, id, time.Unix(used, 0), time.Unix(expires, 0), time.Duration(tokenTTL)*time.Second))
	}
	return entries, rows.Err()
}

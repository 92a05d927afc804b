package idp

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/viloforge/vilogate/idp/internal/renewal"
)

// changeTokens has change decide what becomes of a session's tokens, and writes that: both in one transaction, so that no two
// decide at a time. Where a token is given, the session is used. It returns the session as it is then: ErrUnknownSession where none of that id counts.
func (d *directory) changeTokens(ctx context.Context, id, client string, change func(renewal.Row) renewal.Row) (l activeSession, err error) {
	err = d.db.GroupCommit(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		if l, err = d.findActive(ctx, tx, bySessionID, id); err != nil {
			return err
		}
		before := l.tokens
		l.tokens = change(before)
		if l.tokens == before {
			return nil
		}
		if l.tokens.Current != before.Current {
			l.tokenAddress = client
		}
		if l.tokens.Given.After(before.Given) {
			l.Used = d.now()
		}
		r := l.tokens
		_, err = tx.ExecContext(ctx, `UPDATE sessions SET token_id = ?, token_issued = ?, token_previous = ?, token_given_ms = ?,
			token_delivered_ms = ?, token_returned = ?, token_address = ?, cutoff = ?, browser_seen = ?, used = max(used, ?) WHERE id = ?`,
			r.Current, r.Issued, r.Previous, toMillis(r.Given), toMillis(r.Delivered), r.Returned, l.tokenAddress, r.Cutoff, r.Seen.Unix(), l.Used.Unix(), id)
		if err != nil {
			return fmt.Errorf("changing a session's tokens: %w", err)
		}
		return nil
	})
	return l, err
}

// latestIssued is the latest iat of the tokens that the subject's sessions were issued; zero where there are none.
func (d *directory) latestIssued(ctx context.Context, subject string) (time.Time, error) {
	var latest int64
	if err := d.db.SQL().QueryRowContext(ctx, "SELECT coalesce(max(token_issued), 0) FROM sessions WHERE user_id = ?", subject).Scan(&latest); err != nil {
		return time.Time{}, fmt.Errorf("finding the latest token: %w", err)
	}
	return time.Unix(latest, 0), nil
}

// newTokenID is a jti that nobody had before.
func newTokenID() string { return strings.ToLower(rand.Text()) }

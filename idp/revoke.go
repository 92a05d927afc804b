package idp

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
)

// errUnrecorded means that a revocation could not be written, so that nothing was ended.
var errUnrecorded = errors.New("the revocation could not be recorded")

// publishTimeout bounds how long somebody waits for a revocation to be acknowledged.
const publishTimeout = 3 * time.Second

// publish has revocations acknowledged. It does not end with the request: a browser that goes away ends nothing halfway.
func (d *directory) publish(ctx context.Context, entries ...revocation.Entry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	if err := d.revocations.Publish(ctx, entries...); err != nil {
		return fmt.Errorf("%w: %w", errUnrecorded, err)
	}
	return nil
}

// sessionEntry revokes a session until its absolute end.
func sessionEntry(id string, end time.Time) revocation.Entry {
	return revocation.Entry{Kind: revocation.Session, Issuer: token.OwnIssuer, ID: id, Expires: end}
}

// tokenClockSkew is how much longer a replaced session stays revoked than its tokens last.
const tokenClockSkew = time.Minute

// replacedEntry revokes a session that a login replaces: until the last of its tokens has expired, since nobody asked for its
// end, and its row, without which there is no other token, goes with it.
func (d *directory) replacedEntry(subject, id string, used, end time.Time, tokenTTL time.Duration) revocation.Entry {
	issued := d.now()
	if used = used.Add(lastUsedResolution); used.After(issued) {
		issued = used
	}
	if cutoff, ok := d.revocations.SubjectCutoff(token.OwnIssuer, subject); ok && !issued.After(cutoff) {
		issued = cutoff.Add(time.Second) // tokens are dated past it
	}
	if last := issued.Add(tokenTTL + tokenClockSkew); last.Before(end) {
		end = last
	}
	return sessionEntry(id, end)
}

// subjectEntry revokes everything that the subject was issued until now, and what was dated ahead: because of an earlier such
// entry, or of a token in the same second.
func (d *directory) subjectEntry(ctx context.Context, subject string) (revocation.Entry, error) {
	issued, err := d.latestIssued(ctx, subject)
	if err != nil {
		return revocation.Entry{}, err
	}
	cutoff := d.now().Truncate(time.Second)
	if issued.After(cutoff) {
		cutoff = issued
	}
	if previous, ok := d.revocations.SubjectCutoff(token.OwnIssuer, subject); ok && !cutoff.After(previous) {
		cutoff = previous.Add(time.Second)
	}
	return revocation.Entry{
		Kind: revocation.Subject, Issuer: token.OwnIssuer, ID: revocation.SubjectID(subject), Cutoff: cutoff, Expires: cutoff.Add(token.LongestSession),
	}, nil
}

// cutoffEntries revoke what a session was issued until the cutoff, and leave the session: by its moment, and by name for gateways
// that know no such entries.
func cutoffEntries(l activeSession, cutoff int64) []revocation.Entry {
	entries := []revocation.Entry{{Kind: revocation.SessionTokens, Issuer: token.OwnIssuer, ID: l.ID, Cutoff: time.Unix(cutoff, 0), Expires: l.Expires}}
	for _, jti := range []string{l.tokens.Current, l.tokens.Previous} {
		if jti != "" {
			entries = append(entries, revocation.Entry{Kind: revocation.Token, Issuer: token.OwnIssuer, ID: jti, Expires: l.Expires})
		}
	}
	return entries
}

// revokeTokens ends the subject's tokens but not its sessions, and makes the change that is the reason.
func (d *directory) revokeTokens(ctx context.Context, subject string, change func(*sql.Tx) error) error {
	lock := d.locks.forSubject(subject)
	lock.Lock()
	defer lock.Unlock()
	entry, err := d.subjectEntry(ctx, subject)
	if err != nil {
		return err
	}
	if err := d.publish(ctx, entry); err != nil {
		return err
	}
	return d.db.Write(context.WithoutCancel(ctx), change)
}

// revokeSubject ends the subject's tokens and all its sessions but the one of id keep, and makes the change that is the
// reason. It returns how many sessions it ended. When it fails, no session has ended that a revocation does not name.
func (d *directory) revokeSubject(ctx context.Context, subject, keep string, change func(*sql.Tx) error) (ended int, err error) {
	lock := d.locks.forSubject(subject)
	lock.Lock()
	defer lock.Unlock()
	sessions, err := d.sessions(ctx, subject, "")
	if err != nil {
		return 0, err
	}
	entry, err := d.subjectEntry(ctx, subject)
	if err != nil {
		return 0, err
	}
	entries := []revocation.Entry{entry}
	for _, s := range sessions {
		if s.ID != keep {
			entries = append(entries, sessionEntry(s.ID, s.Expires))
			ended++
		}
	}
	// The session that is kept goes on with a token of its own: a copy of the cookie does not.
	kept, err := d.findActive(ctx, d.db.SQL(), bySessionID, keep)
	switch {
	case err == nil:
		entries = append(entries, cutoffEntries(kept, entry.Cutoff.Unix())...)
	case !errors.Is(err, ErrUnknownSession):
		return 0, err
	}
	if err := d.publish(ctx, entries...); err != nil {
		return 0, err
	}
	ctx = context.WithoutCancel(ctx)
	return ended, d.db.Write(ctx, func(tx *sql.Tx) error {
		for _, s := range []struct {
			statement string
			args      []any
		}{
			{"UPDATE users SET epoch = epoch + 1 WHERE id = ?", []any{subject}},
			{"DELETE FROM sessions WHERE user_id = ? AND id <> ?", []any{subject, keep}},
			{"UPDATE sessions SET epoch = epoch + 1, cutoff = max(cutoff, ?) WHERE user_id = ? AND id = ?", []any{entry.Cutoff.Unix(), subject, keep}},
		} {
			if _, err := tx.ExecContext(ctx, s.statement, s.args...); err != nil {
				return fmt.Errorf("ending sessions: %w", err)
			}
		}
		return change(tx)
	})
}

// revokeSessions ends sessions by name.
func (d *directory) revokeSessions(ctx context.Context, entries ...revocation.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := d.publish(ctx, entries...); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	return d.db.Write(ctx, func(tx *sql.Tx) error {
		for _, e := range entries {
			if _, err := tx.ExecContext(ctx, "DELETE FROM sessions WHERE id = ?", e.ID); err != nil {
				return fmt.Errorf("ending sessions: %w", err)
			}
		}
		return nil
	})
}

// revokeOne ends one of a user's sessions, which it returns: ErrUnknownSession where none of that id lives and is theirs. With
// errUnrecorded nothing has ended.
func (d *directory) revokeOne(ctx context.Context, subject, id string) ([]revocation.Entry, error) {
	if id == "" {
		return nil, ErrUnknownSession
	}
	found, err := d.sessions(ctx, subject, id)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, ErrUnknownSession
	}
	entries := []revocation.Entry{sessionEntry(id, found[0].Expires)}
	return entries, d.revokeSessions(ctx, entries...)
}

// revokeOthers ends all of a user's sessions but the one of id keep, also those that nobody has used for long, and returns them.
// With errUnrecorded none has ended that a revocation does not name.
func (d *directory) revokeOthers(ctx context.Context, subject, keep string) ([]revocation.Entry, error) {
	lock := d.locks.forSubject(subject)
	lock.Lock() // so that none begins meanwhile
	defer lock.Unlock()
	entries, err := d.otherEntries(ctx, subject, keep)
	if err != nil {
		return nil, fmt.Errorf("listing sessions: %w", err)
	}
	return entries, d.revokeSessions(ctx, entries...)
}

func (d *directory) otherEntries(ctx context.Context, subject, keep string) (entries []revocation.Entry, err error) {
	rows, err := d.db.SQL().QueryContext(ctx, "SELECT id, expires FROM sessions WHERE user_id = ? AND id <> ? AND expires > ?", subject, keep, d.now().Unix())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		var end int64
		if err := rows.Scan(&id, &end); err != nil {
			return nil, err
		}
		entries = append(entries, sessionEntry(id, time.Unix(end, 0)))
	}
	return entries, rows.Err()
}

// noChange is the change of a mere revocation.
func noChange(*sql.Tx) error { return nil }

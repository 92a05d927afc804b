package idp

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// Known browsers are those that a user has signed in from. A device cookie tells them from strangers (OWASP, "Slow Down
// Online Guessing Attacks with Device Cookies"), so that strangers' wrong passwords do not keep the owner out. It is worth
// nothing without the password, and survives a sign-out.

const (
	// knownBrowserFailures is how many wrong passwords void a device cookie.
	knownBrowserFailures = 10
	// knownBrowserLife is how long a browser is known that nobody signs in from.
	knownBrowserLife = 180 * 24 * time.Hour
	// maxKnownBrowsers is how many a user may have at a time.
	maxKnownBrowsers = 100
)

// deviceSecret is what the device cookie holds. The database knows its hash alone.
type deviceSecret [secretBytes]byte

func (s deviceSecret) cookie() string { return base64.RawURLEncoding.EncodeToString(s[:]) }

func (s deviceSecret) hash() []byte { h := sha256.Sum256(s[:]); return h[:] }

func parseDeviceSecret(cookie string) (s deviceSecret, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cookie)
	if err != nil || len(raw) != secretBytes {
		return s, false
	}
	return deviceSecret(raw), true
}

// passwordDigest is what binds a device cookie to a password's hash.
func passwordDigest(phc string) []byte { h := sha256.Sum256([]byte(phc)); return h[:] }

// knowsBrowser reports whether the browser is known to the account of a name, and still has an attempt of its own at it.
func (d *directory) knowsBrowser(ctx context.Context, secret deviceSecret, name string) (subject string, ok bool, err error) {
	var phc string
	var digest []byte
	err = d.db.SQL().QueryRowContext(ctx, `SELECT u.id, u.password, k.password FROM known_browsers k JOIN users u ON u.id = k.user_id
		WHERE k.secret = ? AND u.name = ? AND k.failures < ? AND k.used > ?`,
		secret.hash(), name, knownBrowserFailures, d.now().Add(-knownBrowserLife).Unix()).Scan(&subject, &phc, &digest)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("finding a known browser: %w", err)
	default:
		return subject, subtle.ConstantTimeCompare(digest, passwordDigest(phc)) == 1, nil
	}
}

// takeKnownAttempt takes an attempt of a known browser's own: not ok where none is left. It is counted before it is known how
// it ends; what is returned refunds it.
func (d *directory) takeKnownAttempt(ctx context.Context, secret deviceSecret, subject string) (refund func() error, ok bool, err error) {
	result, err := d.db.SQL().ExecContext(ctx, "UPDATE known_browsers SET failures = failures + 1 WHERE secret = ? AND user_id = ? AND failures < ?",
		secret.hash(), subject, knownBrowserFailures)
	if err != nil {
		return nil, false, fmt.Errorf("counting an attempt: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return nil, false, err
	}
	return func() error {
		_, err := d.db.SQL().ExecContext(context.WithoutCancel(ctx), "UPDATE known_browsers SET failures = failures - 1 WHERE secret = ? AND user_id = ? AND failures > 0",
			secret.hash(), subject)
		return err
	}, true, nil
}

// rememberBrowser makes the browser known to the account, whose password was just proven, by a new secret; previous is the one
// that it had, if any. What other accounts it is known to, it stays known to. It returns since when the account has seen the
// browser too, whatever the password was then: isNew for the first time, zero where that was before it was written down.
func (d *directory) rememberBrowser(ctx context.Context, a account, previous *deviceSecret) (secret deviceSecret, since time.Time, isNew bool, err error) {
	rand.Read(secret[:])
	now := d.now()
	err = d.db.Write(ctx, func(tx *sql.Tx) error {
		first := now.Unix()
		isNew = true
		if previous != nil {
			err := tx.QueryRowContext(ctx, "DELETE FROM known_browsers WHERE secret = ? AND user_id = ? RETURNING since", previous.hash(), a.ID).Scan(&first)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			isNew = err != nil
			if _, err := tx.ExecContext(ctx, "UPDATE known_browsers SET secret = ? WHERE secret = ?", secret.hash(), previous.hash()); err != nil {
				return err
			}
		}
		// A password that was changed meanwhile makes it a row that does not count.
		if _, err := tx.ExecContext(ctx, "INSERT INTO known_browsers (secret, user_id, password, used, since) VALUES (?, ?, ?, ?, ?)",
			secret.hash(), a.ID, passwordDigest(a.password), now.Unix(), first); err != nil {
			return err
		}
		since = time.Unix(first, 0)
		_, err := tx.ExecContext(ctx, `DELETE FROM known_browsers WHERE rowid IN (SELECT rowid FROM known_browsers WHERE user_id = ?
			ORDER BY used DESC, rowid DESC LIMIT -1 OFFSET ?)`, a.ID, maxKnownBrowsers)
		return err
	})
	if err != nil {
		return deviceSecret{}, now, true, fmt.Errorf("remembering a browser: %w", err)
	}
	return secret, since, isNew, nil
}

// rehashKnownBrowsers keeps browsers known whose user's password stays the same and only its hash changes.
func rehashKnownBrowsers(ctx context.Context, tx *sql.Tx, subject, before, after string) error {
	_, err := tx.ExecContext(ctx, "UPDATE known_browsers SET password = ? WHERE user_id = ? AND password = ?", passwordDigest(after), subject, passwordDigest(before))
	return err
}

// purgeKnownBrowsers removes those that nobody signed in from for long.
func (d *directory) purgeKnownBrowsers(ctx context.Context) error {
	if _, err := d.db.SQL().ExecContext(ctx, "DELETE FROM known_browsers WHERE used <= ?", d.now().Add(-knownBrowserLife).Unix()); err != nil {
		return fmt.Errorf("removing known browsers: %w", err)
	}
	return nil
}

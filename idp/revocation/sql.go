package revocation

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"time"
)

// Schema makes the table of [SQL]. The migrations of the embedded database hold the same statements.
//
//go:embed schema.sql
var Schema string

// appendTimeout bounds how long the database takes to acknowledge entries, or to say that it does not.
const appendTimeout = 2 * time.Second

// SQL is a log in the table revocations of an embedded database that no other process writes to. Its view is complete
// from the first load on, and never stale.
type SQL struct {
	db      *sql.DB
	timeout time.Duration // of one append
}

// OpenSQL returns the log in a database, which is made so that a commit that returned is on the disk.
func OpenSQL(db *sql.DB) (*SQL, error) {
	if db == nil {
		return nil, errors.New("revocation: no database")
	}
	return &SQL{db, appendTimeout}, nil
}

// An entry is merged with the one of its name, as it is in memory. Writing nothing new is not worth a write.
const insertEntry = `
	INSERT INTO revocations (kind, issuer, id, moment, expires) VALUES (?, ?, ?, ?, ?)
	ON CONFLICT (kind, issuer, id) DO UPDATE
	SET moment = max(moment, excluded.moment), expires = max(expires, excluded.expires)
	WHERE excluded.moment > moment OR excluded.expires > expires`

// Append returns nil once one transaction with all the entries is on the disk.
func (s *SQL) Append(ctx context.Context, entries []Entry) error {
	checked, err := facts(entries)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("revocation: beginning to write: %w", err)
	}
	if err := insert(ctx, tx, checked); err != nil {
		if rolled := tx.Rollback(); !errors.Is(rolled, sql.ErrTxDone) {
			err = errors.Join(err, rolled)
		}
		return fmt.Errorf("revocation: writing: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("revocation: committing: %w", err)
	}
	return nil
}

func insert(ctx context.Context, tx *sql.Tx, facts []fact) (err error) {
	statement, err := tx.PrepareContext(ctx, insertEntry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, statement.Close()) }()
	for _, f := range facts {
		if _, err := statement.ExecContext(ctx, f.kind, f.issuer, f.id, f.cutoff, f.expires); err != nil {
			return err
		}
	}
	return nil
}

// Follow loads the table, and drops from it what has expired, until ctx ends. Nobody else adds to it.
func (s *SQL) Follow(ctx context.Context, to Sink) error {
	held, err := s.load(ctx)
	if err != nil {
		return fmt.Errorf("revocation: reading: %w", err)
	}
	if lacking := to.Reconcile(held, neverStale); len(lacking) > 0 {
		if err := s.Append(ctx, lacking); err != nil {
			return err
		}
	}
	for {
		if err := s.purge(ctx, to.Now()); err != nil {
			return fmt.Errorf("revocation: dropping what has expired: %w", err)
		}
		if !sleep(ctx, purgeInterval) {
			return ctx.Err()
		}
	}
}

func (s *SQL) load(ctx context.Context) (held []Entry, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT kind, issuer, id, moment, expires FROM revocations")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var f fact
		if err := rows.Scan(&f.kind, &f.issuer, &f.id, &f.cutoff, &f.expires); err != nil {
			return nil, err
		}
		held = append(held, f.entry())
	}
	return held, rows.Err()
}

func (s *SQL) purge(ctx context.Context, now time.Time) error {
	var expired bool
	err := s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM revocations WHERE expires <= ?)", now.Unix()).Scan(&expired)
	if err != nil || !expired {
		return err
	}
	_, err = s.db.ExecContext(ctx, "DELETE FROM revocations WHERE expires <= ?", now.Unix())
	return err
}

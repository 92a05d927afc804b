package revocation

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"slices"
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

// appendAll is Append in several transactions, so that others write between them.
func (s *SQL) appendAll(ctx context.Context, entries []Entry) error {
	for some := range slices.Chunk(entries, batch) {
		if err := s.Append(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// lacking returns the entries that have not expired and that the table does not include: a commit that adds nothing costs as
// much as any.
func (s *SQL) lacking(ctx context.Context, entries []Entry, now time.Time) (lacking []Entry, err error) {
	statement, err := s.db.PrepareContext(ctx, "SELECT EXISTS (SELECT 1 FROM revocations WHERE kind = ? AND issuer = ? AND id = ? AND moment >= ? AND expires >= ?)")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, statement.Close()) }()
	for _, e := range entries {
		f, err := e.fact()
		if err != nil || f.expires <= now.Unix() {
			continue
		}
		var known bool
		if err := statement.QueryRowContext(ctx, f.kind, f.issuer, f.id, f.cutoff, f.expires).Scan(&known); err != nil {
			return nil, err
		}
		if !known {
			lacking = append(lacking, e)
		}
	}
	return lacking, nil
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

// load reads the table, page by page: others use the database meanwhile.
func (s *SQL) load(ctx context.Context) (held []Entry, err error) {
	var last int64
	for {
		before := len(held)
		if held, last, err = s.loadPage(ctx, held, last); err != nil || len(held) < before+batch {
			return held, err
		}
	}
}

// loadPage adds a page of rows behind the last one of the page before, and returns its own last.
func (s *SQL) loadPage(ctx context.Context, held []Entry, after int64) (_ []Entry, last int64, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT seq, kind, issuer, id, moment, expires FROM revocations WHERE seq > ? ORDER BY seq LIMIT ?", after, batch)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var f fact
		if err := rows.Scan(&last, &f.kind, &f.issuer, &f.id, &f.cutoff, &f.expires); err != nil {
			return nil, 0, err
		}
		held = append(held, f.entry())
	}
	return held, last, rows.Err()
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

package revocation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// SQL is the log in the embedded database, for one process: the table
// revocations, which the database's migrations make. A transaction that was
// committed is on the disk.
type SQL struct{ db *sql.DB }

// OpenSQL opens the log in db.
func OpenSQL(db *sql.DB) (*SQL, error) {
	if db == nil {
		return nil, errors.New("revocation: no database")
	}
	return &SQL{db}, nil
}

// Append implements Log.
func (s *SQL) Append(ctx context.Context, entries []Entry) (err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning to write revocations: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	for _, e := range entries {
		m := e.mark()
		_, err = tx.ExecContext(ctx, `INSERT INTO revocations (kind, issuer, id, moment, expires) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (kind, issuer, id) DO UPDATE SET moment = max(moment, excluded.moment), expires = max(expires, excluded.expires)`,
			e.Kind, e.Issuer, e.ID, m.moment, m.expires)
		if err != nil {
			return fmt.Errorf("writing a revocation: %w", err)
		}
	}
	if err = tx.Commit(); err != nil {
		return fmt.Errorf("committing revocations: %w", err)
	}
	return nil
}

// Follow implements Log. One process owns the table, and its list learns of
// every entry when it is written; so that there is only the beginning to load,
// and what has expired to remove.
func (s *SQL) Follow(ctx context.Context, sink Sink) error {
	if err := s.load(ctx, sink); err != nil {
		return err
	}
	const beat = time.Second
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for last := time.Now(); ; {
		sink.Current(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if now.Sub(last) < purgeEvery {
				continue
			}
			last = now
			if _, err := s.db.ExecContext(ctx, `DELETE FROM revocations WHERE expires <= ?`, now.Unix()); err != nil {
				return fmt.Errorf("removing expired revocations: %w", err)
			}
		}
	}
}

func (s *SQL) load(ctx context.Context, sink Sink) (err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT kind, issuer, id, moment, expires FROM revocations`)
	if err != nil {
		return fmt.Errorf("reading the revocations: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var entries []Entry
	for rows.Next() {
		var k key
		var m mark
		if err := rows.Scan(&k.kind, &k.issuer, &k.id, &m.moment, &m.expires); err != nil {
			return fmt.Errorf("reading a revocation: %w", err)
		}
		entries = append(entries, k.entry(m))
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the revocations: %w", err)
	}
	sink.Apply(entries)
	return nil
}

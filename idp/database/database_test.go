package database

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func openAt(tb testing.TB, path string) *DB {
	tb.Helper()
	db, err := Open(tb.Context(), path, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	return db
}

func closed(tb testing.TB, db *DB) {
	tb.Helper()
	if err := db.Close(); err != nil {
		tb.Fatal(err)
	}
}

// addKey writes one row in a transaction of its own.
func addKey(tb testing.TB, db *DB, id string) {
	tb.Helper()
	if _, err := db.SQL().ExecContext(tb.Context(), "INSERT INTO signing_keys VALUES (?, ?, 0)", id, bytes.Repeat([]byte(id), 100)); err != nil {
		tb.Fatal(err)
	}
}

func keys(tb testing.TB, db *DB) (n int) {
	tb.Helper()
	if err := db.SQL().QueryRowContext(tb.Context(), "SELECT count(*) FROM signing_keys").Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func commits(tb testing.TB, db *DB) (n int64) {
	tb.Helper()
	if err := db.SQL().QueryRowContext(tb.Context(), "SELECT commits FROM ledger").Scan(&n); err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestWhatWasWrittenIsThereAfterOpeningAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a folder with % and ?", "vilogate.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, path)
	addKey(t, db, "one")
	for name, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "locking_mode": "exclusive", "query_only": "1",
	} {
		var got string
		if err := db.SQL().QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil || got != want {
			t.Errorf("PRAGMA %s is %q (%v), want %q", name, got, err, want)
		}
	}
	closed(t, db)
	for _, suffix := range []string{"", markSuffix} {
		info, err := os.Stat(path + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", path+suffix, info.Mode(), err)
		}
	}
	db = openAt(t, path)
	defer closed(t, db)
	if keys(t, db) != 1 {
		t.Error("the key is gone")
	}
}

func TestEveryCommitIsCountedOnceAndMarked(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vilogate.db")
	db := openAt(t, path)
	defer closed(t, db)
	insert := func(tx *sql.Tx, id string) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO signing_keys VALUES (?, x'00', 0)", id)
		return err
	}
	refused := errors.New("refused")
	for _, step := range []struct {
		name  string
		do    func() error
		fails bool
		adds  int64
	}{
		{"a statement", func() error { _, err := db.SQL().ExecContext(t.Context(), "DELETE FROM sessions"); return err }, false, 1},
		{"a wrong statement", func() error { _, err := db.SQL().ExecContext(t.Context(), "DELETE FROM nowhere"); return err }, true, 0},
		{"a transaction", func() error { return db.Write(t.Context(), func(tx *sql.Tx) error { return insert(tx, "a") }) }, false, 1},
		{"a transaction that is refused", func() error {
			return db.Write(t.Context(), func(tx *sql.Tx) error { return errors.Join(insert(tx, "b"), refused) })
		}, true, 0},
		{"a prepared statement in a transaction", func() error {
			return db.Write(t.Context(), func(tx *sql.Tx) error {
				s, err := tx.PrepareContext(t.Context(), "INSERT INTO signing_keys VALUES (?, x'00', 0)")
				if err == nil {
					_, err = s.ExecContext(t.Context(), "c")
					err = errors.Join(err, s.Close())
				}
				return err
			})
		}, false, 1},
		{"a query that writes in a transaction", func() error {
			return db.Write(t.Context(), func(tx *sql.Tx) error {
				var id string
				return tx.QueryRowContext(t.Context(), "INSERT INTO signing_keys VALUES ('d', x'00', 0) RETURNING id").Scan(&id)
			})
		}, false, 1},
		{"a query that writes without a transaction", func() error {
			var id string
			return db.SQL().QueryRowContext(t.Context(), "INSERT INTO signing_keys VALUES ('e', x'00', 0) RETURNING id").Scan(&id)
		}, true, 0},
		{"a prepared statement without a transaction", func() error {
			s, err := db.SQL().PrepareContext(t.Context(), "INSERT INTO signing_keys VALUES ('f', x'00', 0)")
			if err == nil {
				_, err = s.ExecContext(t.Context())
				err = errors.Join(err, s.Close())
			}
			return err
		}, true, 0},
		{"a transaction that reads", func() error {
			tx, err := db.SQL().BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
			if err == nil {
				err = tx.Commit()
			}
			return err
		}, false, 0},
	} {
		before := commits(t, db)
		if err := step.do(); (err != nil) != step.fails {
			t.Errorf("%s: error %v", step.name, err)
		}
		after := commits(t, db)
		if after-before != step.adds {
			t.Errorf("%s counted %d commits, want %d", step.name, after-before, step.adds)
		}
		if _, marked, err := readMark(path + markSuffix); err != nil || marked != after {
			t.Errorf("%s: the mark is at %d of %d (%v)", step.name, marked, after, err)
		}
	}
	if n := keys(t, db); n != 3 {
		t.Errorf("%d keys, want a, c and d", n)
	}
}

func TestWritersAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	db := openAt(t, filepath.Join(t.TempDir(), "vilogate.db"))
	defer closed(t, db)
	before := commits(t, db)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 5 {
				addKey(t, db, fmt.Sprint(worker, "/", i))
			}
		})
	}
	group.Wait()
	if n, counted := keys(t, db), commits(t, db)-before; n != 40 || counted != 40 {
		t.Errorf("%d keys in %d commits, want 40 in 40", n, counted)
	}
}

// TestADatabaseOfTheFirstVersionIsBroughtUpToDate: with all that is in it.
func TestADatabaseOfTheFirstVersionIsBroughtUpToDate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vilogate.db")
	db := openAt(t, path)
	for _, column := range []string{
		"token_ttl", "browser_since", "token_id", "token_issued", "token_previous", "token_given_ms", "token_delivered_ms", "token_returned", "token_address", "cutoff", "browser_seen",
	} {
		if _, err := db.SQL().ExecContext(t.Context(), "ALTER TABLE sessions DROP COLUMN "+column); err != nil {
			t.Fatalf("%s: %v", column, err)
		}
	}
	for _, statement := range []string{ // back to 00001_foundation.sql
		"DROP TABLE known_browsers", "DELETE FROM goose_db_version WHERE version_id > 1",
		"INSERT INTO users (id, name, email, full_name, roles, password, created, changed) VALUES ('u', 'alice', 'a@example.test', 'Alice', 'member', 'hash', 1, 1)",
		"INSERT INTO sessions (id, secret, user_id, epoch, amr, auth_time, used, expires, address, user_agent) VALUES ('s', x'01', 'u', 1, 'pwd', 1, 1, 9999999999, '', '')",
		"INSERT INTO revocations (kind, issuer, id, moment, expires) VALUES (2, 'vilogate', 's', 0, 9999999999), (3, 'vilogate', 'u', 7, 9999999999)",
	} {
		if _, err := db.SQL().ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	addKey(t, db, "k")
	closed(t, db)
	db = openAt(t, path)
	defer closed(t, db)
	for query, want := range map[string]int64{
		"SELECT count(*) FROM users WHERE name = 'alice' AND roles = 'member'":                           1,
		"SELECT token_ttl FROM sessions WHERE id = 's' AND user_id = 'u'":                                7776000,
		"SELECT browser_since FROM sessions WHERE id = 's'":                                              0,
		"SELECT count(*) FROM sessions WHERE token_id = '' AND token_issued + browser_seen + cutoff = 0": 1,
		"SELECT count(since) FROM known_browsers":                                                        0,
		"SELECT moment FROM revocations WHERE kind = 3 AND id = 'u' AND expires = 9999999999":            7,
		"SELECT count(*) FROM revocations WHERE kind = 2 AND id = 's' AND expires = 9999999999":          1,
		"SELECT count(*) FROM known_browsers":                                                            0,
		"SELECT count(*) FROM signing_keys WHERE id = 'k'":                                               1,
		"SELECT count(*) FROM (SELECT seq FROM revocations WHERE seq > 0 ORDER BY seq LIMIT 10)":         2,
	} {
		var got int64
		if err := db.SQL().QueryRowContext(t.Context(), query).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %d (%v), want %d", query, got, err, want)
		}
	}
}

func TestDemoUsersAreNeverServed(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	folder := t.TempDir()
	demo, real := filepath.Join(folder, "demo.db"), filepath.Join(folder, "real.db")
	db, err := Open(t.Context(), demo, Options{Demo: true, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if !db.Demo() {
		t.Error("a database of demo users does not say so")
	}
	closed(t, db)
	closed(t, openAt(t, real))
	if _, err := Open(t.Context(), demo, Options{Log: log}); !errors.Is(err, ErrDemo) {
		t.Errorf("a database of demo users: %v, want ErrDemo", err)
	}
	if _, err := Open(t.Context(), real, Options{Demo: true, Log: log}); !errors.Is(err, errNotDemo) {
		t.Errorf("a database of real users for demo users: %v, want errNotDemo", err)
	}
}

func TestRefusalsNameThePathAndTheReason(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	folder := t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("text.db", bytes.Repeat([]byte("this is no database\n"), 1000))
	if err := os.Mkdir(filepath.Join(folder, "folder.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	foreign := openAt(t, filepath.Join(folder, "foreign.db"))
	if _, err := foreign.SQL().ExecContext(t.Context(), "ALTER TABLE users RENAME TO people"); err != nil {
		t.Fatal(err)
	}
	if err := foreign.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	closed(t, foreign)
	held := openAt(t, filepath.Join(folder, "held.db"))
	defer closed(t, held)
	for _, test := range []struct{ name, says string }{
		{"text.db", "not a database"},
		{"folder.db", "not a regular file"},
		{"nowhere/vilogate.db", "no such file"},
		{"foreign.db", errNewer.Error()},
		{"held.db", errInUse.Error()},
	} {
		path := filepath.Join(folder, test.name)
		_, err := Open(t.Context(), path, Options{Log: log})
		var refused *Error
		if !errors.As(err, &refused) || refused.Path != path || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want it to name the path and say %q", test.name, err, test.says)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	db := openAt(b, filepath.Join(b.TempDir(), "vilogate.db"))
	defer closed(b, db)
	for b.Loop() {
		if _, err := db.SQL().ExecContext(b.Context(), "UPDATE users SET epoch = epoch"); err != nil {
			b.Fatal(err)
		}
	}
}

package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
)

// Reasons for which Open refuses, to be found with errors.Is in an *Error.
var (
	// ErrDemo means that the database is one of demo users, who have their names as passwords.
	ErrDemo = errors.New("it is a database of demo users, made by `vilogate dev`, and must not be served")
	// errNotDemo means that demo users were to be put into a database of real ones.
	errNotDemo = errors.New("it is a database of real users, not one of demo users")
	// errLost means that something that was acknowledged is not there any more.
	errLost = errors.New("acknowledged writes are missing")
	// errCorrupt means that SQLite finds the file inconsistent.
	errDamaged = errors.New("the file is damaged")
	// errInUse means that another process has the database open.
	errInUse = errors.New("another process has it open")
	// errNewer means that a later version of vilogate has migrated the database.
	errNewer = errors.New("a newer version of vilogate wrote it")

	errEmpty   = errors.New("the file is empty")
	errNotOurs = errors.New("it is not a vilogate database")
)

// Error is why the database at Path cannot be used.
type Error struct {
	Path string
	Err  error
}

func (e *Error) Error() string { return "database " + e.Path + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Options say what kind of database is expected.
type Options struct {
	// Demo makes a new database one of demo users, and refuses any other. Without it such a database is refused.
	Demo bool
	// Log is told what was found. Required.
	Log *slog.Logger
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	sql  *sql.DB
	mark *highWaterMark
	path string
	demo bool

	group group
}

// SQL returns the database's pool, which is of one connection. Its writes are counted, whoever makes them.
func (db *DB) SQL() *sql.DB { return db.sql }

// Demo reports whether it is a database of demo users.
func (db *DB) Demo() bool { return db.demo }

// Path returns where the database is.
func (db *DB) Path() string { return db.path }

// Write runs f in a transaction, which is on the disk when Write returns without an error.
func (db *DB) Write(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := db.sql.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, rollback(tx))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// GroupCommit is Write for what many do at a time: those that wait for the connection share a commit, which is what takes
// long. What an f that returns an error has written is undone; where the commit fails, it fails for all. f runs in another
// goroutine, after those that came before and sees what they wrote; its ctx is not canceled, for an interrupted statement would
// end the transaction of all.
func (db *DB) GroupCommit(ctx context.Context, f func(context.Context, *sql.Tx) error) error {
	return db.group.write(ctx, db.sql, f)
}

// Close closes the database; what is under way is finished first.
func (db *DB) Close() error { return errors.Join(db.sql.Close(), db.mark.close()) }

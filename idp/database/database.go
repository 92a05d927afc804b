package database

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

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
}

// Open opens the database at path, makes it when there is none, and brings its tables up to date. To what it refuses it
// adds nothing; SQLite itself may have moved what is readable of the log into the file.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	db, err := open(ctx, path, o)
	if err != nil {
		if refused, ok := errors.AsType[*sqlite.Error](err); ok && refused.Code()&0xff == sqlite3.SQLITE_BUSY {
			err = fmt.Errorf("%w: %w", errInUse, err)
		}
		return nil, &Error{Path: path, Err: err}
	}
	return db, nil
}

func open(ctx context.Context, path string, o Options) (db *DB, err error) {
	if o.Log == nil {
		return nil, errors.New("options without a log")
	}
	recovery, err := readRecoveryState(path)
	if err != nil {
		return nil, err
	}
	base, err := sqlite.NewConnector("file:" + (&url.URL{Path: path}).EscapedPath() + "?_txlock=immediate")
	if err != nil {
		return nil, err
	}
	markPointer := new(atomic.Pointer[highWaterMark])
	pool := sql.OpenDB(&connector{Connector: base, mayCreate: !recovery.hasMark, demo: o.Demo, mark: markPointer})
	pool.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, pool.Close())
		}
	}()
	if err := recovery.compare(ctx, pool, o); err != nil {
		return nil, err
	}
	m, err := openMark(path+markSuffix, recovery.id, recovery.commits)
	if err != nil {
		return nil, err
	}
	markPointer.Store(m)
	if err := migrate(ctx, pool); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return &DB{sql: pool, mark: m, path: path, demo: o.Demo}, nil
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
		if rolled := tx.Rollback(); rolled != nil && !errors.Is(rolled, sql.ErrTxDone) {
			err = errors.Join(err, rolled)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// Close closes the database; what is under way is finished first.
func (db *DB) Close() error { return errors.Join(db.sql.Close(), db.mark.close()) }

// migrate brings the tables up to date.
func migrate(ctx context.Context, pool *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, pool, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	current, latest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if current > latest {
		return fmt.Errorf("%w: its tables are of version %d, and this one knows %d", errNewer, current, latest)
	}
	if current == latest {
		return nil
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}

// integrityCheck has SQLite read every page.
func integrityCheck(ctx context.Context, pool *sql.DB) (err error) {
	rows, err := pool.QueryContext(ctx, "PRAGMA integrity_check(10)")
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var found []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return err
		}
		found = append(found, line)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, strings.Join(found, "; "))
	}
	return nil
}

// fileSize returns the size of a regular file, -1 when there is none.
func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return -1, nil
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, errors.New("it is not a regular file")
	default:
		return info.Size(), nil
	}
}

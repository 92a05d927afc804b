package database

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

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

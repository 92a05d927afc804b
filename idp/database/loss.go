package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// The suffixes make the paths of the mark, and of SQLite's log, from that of the database.
const (
	markSuffix = "-mark"
	walSuffix  = "-wal"
)

// recoveryState is what the files beside a database tell of it, gathered before SQLite touches them, for SQLite throws a log
// without a database away.
type recoveryState struct {
	path string
	// hasMark says that there is a mark, readable or not.
	hasMark bool
	// id and commits are the mark's where it can be read; compare sets them to the database's.
	id      string
	commits int64
}

// readRecoveryState gathers the evidence, and makes the file of a new database, for its owner's eyes only.
func readRecoveryState(path string) (*recoveryState, error) {
	e := &recoveryState{path: path, hasMark: true}
	size, err := fileSize(path)
	if err != nil {
		return nil, err
	}
	e.id, e.commits, err = readMark(path + markSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.hasMark = false
	case err != nil && !errors.Is(err, errMarkDamaged):
		return nil, err
	}
	if size > 0 {
		return e, nil
	}
	if e.hasMark {
		return nil, e.lossError("the file is empty or gone, and its mark counts %d commits", e.commits)
	}
	if log, err := fileSize(path + walSuffix); err != nil || log > 0 {
		return nil, errors.Join(err, fmt.Errorf("%w: the file is empty or gone, while %d bytes of its log %s are there; put a backup back, "+
			"or remove the log to begin anew", errLost, log, path+walSuffix))
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return e, file.Close()
}

// compare holds the database against the evidence. It sets the evidence to what the database says of itself.
func (e *recoveryState) compare(ctx context.Context, pool *sql.DB, o Options) error {
	var (
		id      string
		commits int64
		demo    bool
	)
	err := pool.QueryRowContext(ctx, "SELECT id, commits, demo FROM ledger").Scan(&id, &commits, &demo)
	switch {
	case errors.Is(err, errEmpty):
		return e.lossError("the tables are gone")
	case err != nil:
		return err
	}
	if err := integrityCheck(ctx, pool); err != nil {
		return err
	}
	switch {
	case demo && !o.Demo:
		return ErrDemo
	case !demo && o.Demo:
		return errNotDemo
	case e.id != "" && e.id != id:
		return e.lossError("the mark is of another database")
	case e.id != "" && commits < e.commits:
		return e.lossError("%d of %d commits are not there any more", e.commits-commits, e.commits)
	case e.id == "" && (e.hasMark || commits > initialCommits):
		o.Log.WarnContext(ctx, "the database has no readable high-water mark: whether it lost anything cannot be told",
			"database", e.path, "mark", e.path+markSuffix, "commits", commits)
	}
	e.id, e.commits = id, commits
	return nil
}

// lossError says what is missing, and how to go on.
func (e *recoveryState) lossError(format string, args ...any) error {
	return fmt.Errorf("%w: %s; put a backup back, or, to go on with what is there (logins and sign-outs may be undone), remove %s",
		errLost, fmt.Sprintf(format, args...), e.path+markSuffix)
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

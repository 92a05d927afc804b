package database

import (
	"context"
	"crypto/rand"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// A connector opens connections that count their commits.
type connector struct {
	driver.Connector
	// mayCreate says that an empty file may be made a database.
	mayCreate bool
	demo      bool
	// mark is where commits are remembered; nil until Open has compared it.
	mark *atomic.Pointer[highWaterMark]
}

// sqliteConn is what SQLite's driver implements; a wrapper must not hide any of it.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// Connect opens a connection that can only read, but for the transactions that it counts.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	raw, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := raw.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the SQLite driver's connection is a %T", raw), raw.Close())
	}
	conn := &countedConn{sqliteConn: inner, mark: c.mark}
	if err := c.prepare(ctx, conn); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

// prepare sets the connection up, and makes an empty file a database.
func (c *connector) prepare(ctx context.Context, conn *countedConn) error {
	// Exclusive before the journal mode: then the log's index lives in this process, not in shared memory.
	for _, pragma := range []string{
		"busy_timeout = 2000", "locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL",
		"foreign_keys = ON", "trusted_schema = OFF", "cell_size_check = ON",
	} {
		if _, err := conn.sqliteConn.ExecContext(ctx, "PRAGMA "+pragma, nil); err != nil {
			return fmt.Errorf("%s: %w", pragma, err)
		}
	}
	tables, err := conn.queryInt(ctx, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	if tables == 0 {
		if !c.mayCreate {
			return errEmpty
		}
		err = conn.createLedger(ctx, c.demo)
	} else {
		err = conn.checkLedger(ctx)
	}
	if err != nil {
		return err
	}
	return conn.setReadOnly(ctx, true)
}

// A countedConn counts each transaction that may write, in the database and then in the mark. It serves one goroutine at
// a time, as database/sql promises.
type countedConn struct {
	sqliteConn
	mark *atomic.Pointer[highWaterMark]
	// writing is set within a transaction that may write.
	writing bool
}

// initialCommits is the count of a database that was just founded: its own first commit.
const initialCommits = 1

// Unwrap returns the driver's own connection.
func (c *countedConn) Unwrap() driver.Conn { return c.sqliteConn }

// createLedger makes an empty file a database, with an identity that its mark can name.
func (c *countedConn) createLedger(ctx context.Context, demo bool) error {
	id := make([]byte, 16)
	rand.Read(id)
	statement := fmt.Sprintf(`BEGIN IMMEDIATE;
		CREATE TABLE ledger (
			only    INTEGER PRIMARY KEY CHECK (only = 1),
			id      TEXT    NOT NULL,
			commits INTEGER NOT NULL,
			demo    INTEGER NOT NULL
		) STRICT;
		INSERT INTO ledger VALUES (1, '%x', %d, %t);
		COMMIT`, id, initialCommits, demo)
	_, err := c.sqliteConn.ExecContext(ctx, statement, nil)
	return err
}

func (c *countedConn) checkLedger(ctx context.Context) error {
	switch n, err := c.queryInt(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'ledger'"); {
	case err != nil:
		return err
	case n == 0:
		return errNotOurs
	default:
		return nil
	}
}

func (c *countedConn) setReadOnly(ctx context.Context, on bool) error {
	_, err := c.sqliteConn.ExecContext(ctx, fmt.Sprintf("PRAGMA query_only = %t", on), nil)
	return err
}

// queryInt asks for one integer.
func (c *countedConn) queryInt(ctx context.Context, query string) (n int64, err error) {
	rows, err := c.QueryContext(ctx, query, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(row); err != nil {
		return 0, err
	}
	n, ok := row[0].(int64)
	if !ok {
		return 0, fmt.Errorf("%q answered with %T", query, row[0])
	}
	// To the end: only then is the statement done.
	if err := rows.Next(row); !errors.Is(err, io.EOF) {
		return 0, errors.Join(fmt.Errorf("%q answered with more than a number", query), err)
	}
	return n, nil
}

// ExecContext is a transaction of its own where there is none yet.
func (c *countedConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if c.writing {
		return c.sqliteConn.ExecContext(ctx, query, args)
	}
	tx, err := c.BeginTx(ctx, driver.TxOptions{})
	if err != nil {
		return nil, err
	}
	result, err := c.sqliteConn.ExecContext(ctx, query, args)
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return result, tx.Commit()
}

// Begin is BeginTx for old callers.
func (c *countedConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins a transaction that is counted, unless it only reads.
func (c *countedConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if opts.ReadOnly {
		return c.sqliteConn.BeginTx(ctx, opts)
	}
	if err := c.setReadOnly(ctx, false); err != nil {
		return nil, err
	}
	raw, err := c.sqliteConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, errors.Join(err, c.setReadOnly(context.WithoutCancel(ctx), true))
	}
	c.writing = true
	return &countedTx{conn: c, raw: raw}, nil
}

type countedTx struct {
	conn *countedConn
	raw  driver.Tx
}

// Commit returns once the commit, and then its mark, are on the disk.
func (t *countedTx) Commit() error {
	commits, err := t.conn.queryInt(context.Background(), "UPDATE ledger SET commits = commits + 1 RETURNING commits")
	if err != nil {
		return errors.Join(fmt.Errorf("counting a commit: %w", err), t.Rollback())
	}
	err = errors.Join(t.raw.Commit(), t.end())
	if err != nil {
		return err
	}
	if m := t.conn.mark.Load(); m != nil {
		return m.advance(commits)
	}
	return nil
}

// Rollback forgets the transaction.
func (t *countedTx) Rollback() error {
	return errors.Join(t.raw.Rollback(), t.end())
}

func (t *countedTx) end() error {
	t.conn.writing = false
	return t.conn.setReadOnly(context.Background(), true)
}

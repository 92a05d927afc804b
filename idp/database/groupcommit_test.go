package database

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// together has writes wait until all are there, and returns what each was told.
func together(t *testing.T, db *DB, writes ...func(context.Context, *sql.Tx) error) []error {
	t.Helper()
	holds, err := db.SQL().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	type told struct {
		i   int
		err error
	}
	all := make(chan told)
	for i, f := range writes {
		go func() { all <- told{i, db.GroupCommit(t.Context(), f)} }()
	}
	for range time.Tick(time.Millisecond) {
		db.group.mu.Lock()
		waiting := len(db.group.waiting)
		db.group.mu.Unlock()
		if waiting == len(writes) {
			break
		}
	}
	if err := holds.Rollback(); err != nil {
		t.Fatal(err)
	}
	errs := make([]error, len(writes))
	for range writes {
		w := <-all
		errs[w.i] = w.err
	}
	return errs
}

func TestWritesThatWaitTogetherShareACommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vilogate.db")
	db := openAt(t, path)
	refused := errors.New("refused")
	const n, refusedOne = 20, 7
	var writes []func(context.Context, *sql.Tx) error
	for i := range n {
		writes = append(writes, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO signing_keys VALUES (?, x'00', 0)", strconv.Itoa(i))
			if i == refusedOne {
				err = errors.Join(err, refused)
			}
			return err
		})
	}
	before := commits(t, db)
	for i, err := range together(t, db, writes...) {
		if errors.Is(err, refused) != (i == refusedOne) || i != refusedOne && err != nil {
			t.Errorf("write %d: %v", i, err)
		}
	}
	if got := commits(t, db) - before; got != 1 {
		t.Errorf("%d commits", got)
	}
	refuse := func(context.Context, *sql.Tx) error { return refused }
	if errs := together(t, db, refuse, refuse); !errors.Is(errs[0], refused) || !errors.Is(errs[1], refused) || commits(t, db)-before != 1 {
		t.Errorf("where all are refused: %v, %d commits", errs, commits(t, db)-before)
	}
	closed(t, db) // and what was acknowledged is there when it is opened again
	db = openAt(t, path)
	if got := keys(t, db); got != n-1 {
		t.Errorf("%d rows are there, want all but that of the write that was refused", got)
	}
	closed(t, db)
	if err := db.GroupCommit(t.Context(), refuse); err == nil || errors.Is(err, refused) {
		t.Errorf("a closed database: %v", err)
	}
}

// TestAWriteThatEndsTheTransactionFailsForAll: nobody is told that something is there which is not.
func TestAWriteThatEndsTheTransactionFailsForAll(t *testing.T) {
	t.Parallel()
	db := openAt(t, filepath.Join(t.TempDir(), "vilogate.db"))
	defer closed(t, db)
	insert := func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO signing_keys VALUES (hex(randomblob(8)), x'00', 0)")
		return err
	}
	end := func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "ROLLBACK")
		return err
	}
	for i, err := range together(t, db, insert, end, insert) {
		if err == nil {
			t.Errorf("write %d is acknowledged", i)
		}
	}
	if got := keys(t, db); got != 0 {
		t.Errorf("%d rows", got)
	}
	if err := db.GroupCommit(t.Context(), insert); err != nil || keys(t, db) != 1 {
		t.Errorf("after that: %v, %d rows", err, keys(t, db))
	}
}

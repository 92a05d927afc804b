package revocation

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"
	_ "modernc.org/sqlite"
)

const (
	ours       = "vilogate"
	testSecret = "a secret of the tests, of 32 bytes and more"
)

func TestMain(m *testing.M) {
	logging.Disable() // OpenRedis does, but the tests ask Redis before
	os.Exit(m.Run())
}

// waitTimeout ends a test that hangs. No test asserts that anything is as quick as that.
const waitTimeout = 2 * time.Minute

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(waitTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", waitTimeout, what)
		case <-tick.C:
		}
	}
}

// clock is the time plus what a test has added to it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// running starts a list over a log, waits until it is ready, and ends it with the test.
func running(t testing.TB, log Log, o Options) (l *List, stop func()) {
	t.Helper()
	l = NewList(log, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	var stopped atomic.Bool
	stop = func() {
		if stopped.Swap(true) {
			return
		}
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run returned %v at its end", err)
			}
		case <-time.After(waitTimeout):
			t.Error("Run does not end")
		}
	}
	t.Cleanup(stop)
	eventually(t, "the list is ready", l.Ready)
	return l, stop
}

func session(id string) Entry {
	return Entry{Kind: Session, Issuer: ours, ID: id, Expires: time.Now().Add(time.Hour)}
}

func publish(t testing.TB, l *List, entries ...Entry) {
	t.Helper()
	if err := l.Publish(context.Background(), entries...); err != nil {
		t.Fatalf("Publish: %v", err)
	}
}

func appendTo(t testing.TB, log Log, entries ...Entry) {
	t.Helper()
	if err := log.Append(context.Background(), entries); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

// openDatabase opens an embedded database as idp/database does: one connection, and commits that are on the disk.
func openDatabase(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func newDatabase(t testing.TB) *sql.DB {
	t.Helper()
	db := openDatabase(t, filepath.Join(t.TempDir(), "vilogate.db"))
	if _, err := db.Exec(Schema); err != nil {
		t.Fatal(err)
	}
	return db
}

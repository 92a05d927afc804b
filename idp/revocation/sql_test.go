package revocation

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnEmbeddedListIsNeverStale: nobody else writes to its table, so that its view is complete however old it is.
func TestAnEmbeddedListIsNeverStale(t *testing.T) {
	t.Parallel()
	log, err := OpenSQL(newDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	if l := NewList(log, Options{}); l.Ready() || !l.Stale(time.Now()) {
		t.Error("ready before it was loaded")
	}
	l, stop := running(t, log, Options{MaxStaleness: time.Second})
	stop()
	if now := time.Now().Add(100 * 365 * 24 * time.Hour); l.Stale(now) || !l.Ready() {
		t.Error("stale after a hundred years")
	}
	if got := l.Stats().LastSync; time.Since(got) > time.Minute {
		t.Errorf("the last contact was %v", got)
	}
}

// TestTheTableIsPurged of what has expired when it is followed.
func TestTheTableIsPurged(t *testing.T) {
	t.Parallel()
	db := newDatabase(t)
	log, err := OpenSQL(db)
	if err != nil {
		t.Fatal(err)
	}
	log.timeout = waitTimeout
	short := session("short")
	short.Expires = time.Now().Add(time.Minute)
	appendTo(t, log, short, session("long"))
	running(t, log, Options{Now: func() time.Time { return time.Now().Add(10 * time.Minute) }})
	eventually(t, "the table is purged", func() bool {
		var n int
		if err := db.QueryRow("SELECT count(*) FROM revocations").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
}

// TestADatabaseThatFailsAcknowledgesNothing, and says so.
func TestADatabaseThatFailsAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase(t)
		log, err := OpenSQL(db)
		if err != nil {
			t.Fatal(err)
		}
		l, _ := running(t, log, Options{})
		held, err := db.BeginTx(t.Context(), nil) // whoever holds the only connection
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = l.Publish(context.Background(), session("s"))
		if took := time.Since(began); err == nil || took > 2*time.Second {
			t.Errorf("Publish: %v after %v", err, took)
		}
		if err := held.Rollback(); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("DROP TABLE revocations"); err != nil {
			t.Fatal(err)
		}
		if err := l.Publish(context.Background(), session("s")); err == nil || l.SessionRevoked(ours, "s") {
			t.Errorf("Publish: %v", err)
		}
	})
	if _, err := OpenSQL(nil); err == nil {
		t.Error("no database is no error")
	}
}

// TestTheMigrationMakesThisTable: the embedded database's first migration holds the very statements of Schema.
func TestTheMigrationMakesThisTable(t *testing.T) {
	t.Parallel()
	migration, err := os.ReadFile(filepath.Join("..", "database", "migrations", "00001_foundation.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(migration), Schema) {
		t.Errorf("it does not contain\n%s", Schema)
	}
}

// victim is set in the process that TestKilledWhileWriting kills: the path of its database.
const victim = "REVOCATION_TEST_VICTIM"

// TestKilledWhileWriting: kill -9 in the middle of writes; everything that was acknowledged is refused afterwards.
func TestKilledWhileWriting(t *testing.T) {
	if path := os.Getenv(victim); path != "" {
		writeUntilKilled(t, path)
		return
	}
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vilogate.db")
	db := openDatabase(t, path)
	if _, err := db.Exec(Schema); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var acknowledged []string
	for round := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKilledWhileWriting$")
		child.Env = append(os.Environ(), victim+"="+path, fmt.Sprintf("ROUND=%d", round))
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		said := bufio.NewScanner(out)
		for n := 0; said.Scan(); n++ {
			if id, ok := strings.CutPrefix(said.Text(), "acknowledged "); ok {
				acknowledged = append(acknowledged, id)
			}
			if n == 50 {
				cancel() // kills it; what it has said until then is still read
			}
		}
		if err := child.Wait(); err == nil {
			t.Error("it was not killed")
		}
		cancel()
	}
	log, err := OpenSQL(openDatabase(t, path))
	if err != nil {
		t.Fatal(err)
	}
	l, _ := running(t, log, Options{})
	for _, id := range acknowledged {
		if !l.SessionRevoked(ours, id) {
			t.Errorf("%s was acknowledged, and is not refused", id)
		}
	}
	if len(acknowledged) < 100 {
		t.Errorf("only %d were acknowledged", len(acknowledged))
	}
}

func writeUntilKilled(t *testing.T, path string) {
	log, err := OpenSQL(openDatabase(t, path))
	if err != nil {
		t.Fatal(err)
	}
	log.timeout = waitTimeout
	l, _ := running(t, log, Options{})
	for i := 0; ; i++ {
		id := fmt.Sprintf("%s-%d", os.Getenv("ROUND"), i)
		publish(t, l, session(id))
		fmt.Println("acknowledged", id)
	}
}

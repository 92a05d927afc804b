package database

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// childEnv holds the path of the database when the test binary runs as the child that is killed.
const childEnv = "VILOGATE_TEST_DATABASE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		fmt.Println(writeUntilKilled(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeUntilKilled writes numbers from where the database stops, and says each once it was acknowledged.
func writeUntilKilled(path string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	db, err := Open(ctx, path, Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	var next int
	if err := db.SQL().QueryRowContext(ctx, "SELECT count(*) FROM signing_keys").Scan(&next); err != nil {
		return err
	}
	for ; ; next++ {
		if _, err := db.SQL().ExecContext(ctx, "INSERT INTO signing_keys VALUES (?, randomblob(900), 0)", strconv.Itoa(next)); err != nil {
			return err
		}
		fmt.Println(next)
	}
}

func TestAKillInTheMiddleOfWritesLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vilogate.db")
	last := -1
	// The first is killed while it makes the database, later ones while they write and move the log into the file.
	for _, lines := range []int{0, 1, 7, 60, 3, 150, 0, 20} {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+path)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		scanner := bufio.NewScanner(out)
		for range lines {
			if !scanner.Scan() {
				t.Fatalf("the child ended: %v", scanner.Err())
			}
			last = number(t, scanner.Text())
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for scanner.Scan() {
			last = number(t, scanner.Text())
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child was not killed")
		}
		n, logged, err := tryOpen(t, path)
		if err != nil || logged != "" {
			t.Fatalf("after %d: %v, %q", last, err, logged)
		}
		// One more may have been written than its writer lived to say.
		if n != last+1 && n != last+2 {
			t.Errorf("%d keys after %d was acknowledged", n, last)
		}
		last = n - 1
	}
}

func number(tb testing.TB, text string) int {
	tb.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		tb.Fatalf("the child said %q", text)
	}
	return n
}

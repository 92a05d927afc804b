package audit

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A rotation whose next file cannot be opened is not begun anew with every try:
// each would let go of one more file of the past. The test is alone in its process
// while there are no descriptors.
func TestARotationCutShortLosesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.jsonl")
	for i := 1; i <= 3; i++ {
		if err := os.WriteFile(path+"."+strconv.Itoa(i), []byte("past "+strconv.Itoa(i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := openFile(path, 10, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.write([]byte("123456789\n")); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range 4 {
		if f.write([]byte("abc\n")) != nil {
			failed++
		}
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if failed != 4 {
		t.Fatalf("%d of 4 writes failed without a descriptor", failed)
	}
	if err := f.write([]byte("abc\n")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"": "abc\n", ".1": "123456789\n", ".2": "past 1", ".3": "past 2"} {
		if got, err := os.ReadFile(path + name); err != nil || string(got) != want {
			t.Errorf("audit.jsonl%s: %q, %v; want %q", name, got, err, want)
		}
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

// A file that could not be forced to the disk once is given up, and the next one
// is written.
func TestAFailedSyncIsNotForEver(t *testing.T) {
	t.Parallel()
	f, err := openFile(filepath.Join(t.TempDir(), "audit.jsonl"), 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.write([]byte("123456789\n")), f.f.Close()); err != nil { // Sync fails from now on
		t.Fatal(err)
	}
	if err := f.write([]byte("abc\n")); err == nil {
		t.Error("the write that rotates succeeds")
	}
	if err := f.write([]byte("abc\n")); err != nil {
		t.Errorf("the next one: %v", err)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
}

// A disk that takes nothing more holds up neither requests for long nor the end of
// the process.
func TestADiskThatHangs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0) // which never reads
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := Open(Options{File: path, MaxSize: 1 << 20, Fsync: Always, OnFailure: Drop, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	begun := time.Now()
	for range 3000 {
		if err := l.Put(&Record{RequestID: "some id of a request, to fill the pipe soon"}); err != nil {
			t.Fatalf("a request is refused: %v", err)
		}
	}
	t.Logf("3,000 requests in %v", time.Since(begun))
	if !l.Stats().Failing {
		t.Error("nobody is told")
	}
	cancel()
	if err := <-ended; !errors.Is(err, errWriteTimeout) {
		t.Errorf("Run: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTwoProcessesWriteOneLog, while one takes over from the other: no line is lost, whoever rotates, and a file is not rotated for
// what another has done to it before.
func TestTwoProcessesWriteOneLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	var writers [2]*file
	for i := range writers {
		f, err := openFile(path, 100, 1000)
		if err != nil {
			t.Fatal(err)
		}
		writers[i] = f
	}
	const lines = 200
	for i := range lines {
		if err := writers[i*7%3%2].write(fmt.Appendf(nil, "line %03d\n", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(writers[0].close(), writers[1].close()); err != nil {
		t.Fatal(err)
	}
	all, err := filepath.Glob(path + "*")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, name := range all {
		text, err := os.ReadFile(name)
		if err != nil || len(text) > 100 || name != path && len(text) < 80 {
			t.Errorf("%s has %d bytes, %v", filepath.Base(name), len(text), err)
		}
		count += strings.Count(string(text), "\n")
	}
	if count != lines {
		t.Errorf("%d lines are left of %d", count, lines)
	}
}

// TestWhatAnotherWroteIsNotCutOff: of a line that did not fit the rest is taken back only where it is the end of the file.
func TestWhatAnotherWroteIsNotCutOff(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	one, err := openFile(path, 1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openFile(path, 1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.f.WriteString("half"); err != nil || !one.isLast(4) {
		t.Errorf("what did not fit is last: %v", err)
	}
	if err := other.write([]byte("whole\n")); err != nil || one.isLast(4) {
		t.Errorf("another line is last: %v", err)
	}
	if err := errors.Join(one.close(), other.close()); err != nil {
		t.Fatal(err)
	}
}

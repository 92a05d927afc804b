package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAStateFolderHasOneOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	first, err := Open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, true); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second owner: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Open(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
}

func TestAStateFolderIsPrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	file := filepath.Join(dir, "file")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o750), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		open:                        "mode 0750",
		file:                        "not a folder",
		filepath.Join(dir, "none"):  "no such file",
		filepath.Join(file, "none"): "not a directory",
	} {
		if _, err := Open(path, false); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
}

func TestAKeyOfTheStateFolderIsMadeOnceAndPrivate(t *testing.T) {
	t.Parallel()
	st, err := Open(filepath.Join(t.TempDir(), "state"), true)
	if err != nil {
		t.Fatal(err)
	}
	made := 0
	fresh := func() ([]byte, error) { made++; return []byte("key"), nil }
	for range 2 {
		if data, err := st.ReadOrCreate("k", fresh); err != nil || string(data) != "key" {
			t.Fatalf("%q, %v", data, err)
		}
	}
	info, err := os.Stat(st.Path("k"))
	if err != nil || info.Mode().Perm() != 0o600 || made != 1 {
		t.Errorf("mode %v, made %d times, %v", info.Mode(), made, err)
	}
	if err := os.Chmod(st.Path("k"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := st.ReadOrCreate("k", fresh); err == nil || !strings.Contains(err.Error(), "0644") {
		t.Errorf("a key that others can read: %v", err)
	}
	left, err := filepath.Glob(st.Path(".new-*"))
	if err := errors.Join(err, st.Close()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

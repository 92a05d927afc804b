package state

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// TestAFolderIsShared by two processes, of which one takes over from the other: it is free when both have given it up.
func TestAFolderIsShared(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	first, err := Open(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	duplicate := func() *os.File {
		fd, err := syscall.Dup(int(first.Lock().Fd()))
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fd), "lock")
	}
	second, err := Share(dir, false, duplicate())
	if err != nil {
		t.Fatal(err)
	}
	other, err := Share(filepath.Join(t.TempDir(), "other"), true, duplicate()) // the configuration has changed
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(other.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, false); !errors.Is(err, ErrInUse) {
		t.Errorf("a stranger while the second has it: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := Share(dir, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Close(); err != nil {
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

// What a link names is not touched, whichever file of the folder the link stands for.
func TestLinksInTheStateFolderAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, name := range ours {
		dir, victim := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "victim")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(victim, []byte("kept"), 0o600), os.Symlink(victim, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		if st, err := Open(dir, true); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)+" is a symbolic link") {
			t.Errorf("%s: %v, %v", name, st, err)
		}
		if data, err := os.ReadFile(victim); err != nil || string(data) != "kept" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if _, err := ReadFile(dir, name); err == nil || !strings.Contains(err.Error(), "is a symbolic link") {
			t.Errorf("reading %s: %v", name, err)
		}
	}
}

// Only a regular file is opened: a FIFO would keep its reader waiting.
func TestOnlyRegularFilesOfTheStateFolderAreOpened(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	if err := errors.Join(os.Mkdir(dir, 0o700), syscall.Mkfifo(filepath.Join(dir, "ca.pem"), 0o600), os.Mkdir(filepath.Join(dir, lockName), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(dir, "ca.pem"); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a FIFO: %v", err)
	}
	if _, err := Open(dir, false); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a folder as the lock: %v", err)
	}
}

// What is found, and not named, is used only where this user made it, and others cannot write to it.
func TestAFoundFolderIsTheUsersOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, open, link, foreign := filepath.Join(dir, "own"), filepath.Join(dir, "open"), filepath.Join(dir, "link"), "/proc/1" // root's
	if os.Geteuid() == 0 {
		foreign = filepath.Join(dir, "foreign")
		if err := errors.Join(os.Mkdir(foreign, 0o700), os.Chown(foreign, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(own, 0o700), os.Mkdir(open, 0o700), os.Chmod(open, 0o777), os.Symlink(foreign, link)); err != nil {
		t.Fatal(err)
	}
	if err := CheckFound(own); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]string{open: "mode 0777", foreign: "only where it is named; if it is meant: --state", link: "belongs to"} {
		if err := CheckFound(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := Open(foreign, true); err == nil || !strings.Contains(err.Error(), "run it as that user") {
		t.Errorf("taking another's: %v", err)
	}
	if left, err := os.ReadDir(foreign); os.Geteuid() == 0 && (err != nil || len(left) > 0) {
		t.Errorf("made in another's: %v, %v", left, err)
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

package spool

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"testing"
)

var (
	one   = netip.MustParsePrefix("192.0.2.1/32")
	other = netip.MustParsePrefix("192.0.2.2/32")
)

// unexpected is for failures that are not to be.
func unexpected(t *testing.T) func(error) {
	return func(err error) { t.Errorf("it failed: %v", err) }
}

func create(t *testing.T, s *Spool, client netip.Prefix) *File {
	t.Helper()
	f, err := s.Create(client)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// What is written is read, nothing of it has a name, only its owner could read it, and its room is given back.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := New(dir, 16<<20, 10, unexpected(t))
	f := create(t, s, one)
	for _, text := range []string{"first", "second, which is longer"} {
		for _, c := range text {
			if _, err := f.Write([]byte(string(c))); err != nil {
				t.Fatal(err)
			}
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(f, got); err != nil || string(got) != text {
			t.Errorf("%q, %v; want %q", got, err, text)
		}
		if n, err := f.Read(got); n != 0 || err != io.EOF {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		f.Rewind()
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("the folder has %v, %v", names, err)
	}
	if info, err := f.file.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if s.Used() != step {
		t.Errorf("%d bytes are held", s.Used())
	}
	if err := f.Close(); err != nil || s.Used() != 0 || s.files.Used() != 0 {
		t.Errorf("%v; %d bytes and %d files are held", err, s.Used(), s.files.Used())
	}
}

// A client has a quarter, all together no more than all, and the file system is never filled: what does not fit is not written.
func TestRoom(t *testing.T) {
	t.Parallel()
	piece := bytes.Repeat([]byte{1}, step)
	fill := func(f *File) (n int) {
		for {
			if _, err := f.Write(piece); errors.Is(err, ErrFull) {
				return n
			} else if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	s := New(t.TempDir(), 8*step, 100, unexpected(t))
	a, b := create(t, s, one), create(t, s, one)
	if n := fill(a); n != 2 {
		t.Errorf("a client has %d MiB of 8", n)
	}
	if n := fill(b); n != 0 {
		t.Errorf("in another file it has %d more", n)
	}
	if n := fill(create(t, s, other)); n != 2 {
		t.Errorf("another client has %d MiB", n)
	}
	if got, err := io.ReadAll(a); err != nil || len(got) != 2*step {
		t.Errorf("%d bytes, %v", len(got), err)
	}

	s = New(t.TempDir(), 1<<40, 8, unexpected(t))
	free := uint64(23 * step)
	s.free = func(string) (uint64, uint64, error) {
		free -= step
		return free + step, 100 * step, nil
	}
	if n := fill(create(t, s, one)); n != 3 { // of 23 MiB of 100, 20 stay free
		t.Errorf("%d MiB were written of the file system", n)
	}
	create(t, s, one)
	if _, err := s.Create(one); !errors.Is(err, ErrFull) {
		t.Errorf("a third file of 8: %v", err)
	}
	if _, err := s.Create(other); err != nil {
		t.Errorf("another client's: %v", err)
	}
	var none *Spool
	if _, err := none.Create(one); !errors.Is(err, ErrFull) || none.Used() != 0 {
		t.Errorf("none: %v", err)
	}
	told := 0
	if _, err := New("/nowhere/at/all", 1<<30, 8, func(error) { told++ }).Create(one); err == nil || errors.Is(err, ErrFull) || told != 1 {
		t.Errorf("no folder: %v, told %d times", err, told)
	}
}

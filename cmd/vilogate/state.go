package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// state is the state folder of one process, which alone may use it until close.
type state struct {
	dir  string   // absolute
	lock *os.File // held with flock
}

// errInUse says that another process has the state folder.
var errInUse = errors.New("it is in use")

// openState makes sure that the folder is there and private, and takes it. It is made when create says so. The error is
// errInUse when another process has it.
func openState(dir string, create bool) (*state, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", dir, err)
	}
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state %s cannot be made: %w", dir, reason(err))
		}
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("state %s: %w", dir, reason(err))
	case !info.IsDir():
		return nil, fmt.Errorf("state %s is not a folder", dir)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("state %s has the mode %04o and holds keys; only its owner may enter: chmod 0700 %s", dir, info.Mode().Perm(), dir)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state %s (mode %04o) cannot be used: %w", dir, info.Mode().Perm(), reason(err))
	}
	s := &state{dir, lock}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, readErr := io.ReadAll(io.LimitReader(lock, 32))
		if err = errors.Join(s.close(), readErr); err != nil {
			return nil, fmt.Errorf("state %s: %w", dir, err)
		}
		return nil, fmt.Errorf("state %s: %w by another vilogate (process %s); two processes need two folders", dir, errInUse, strings.TrimSpace(string(owner)))
	}
	if err := errors.Join(lock.Truncate(0), writeAt(lock, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("state %s cannot be written: %w", dir, reason(err)), s.close())
	}
	return s, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// path is a file in the folder.
func (s *state) path(name string) string { return filepath.Join(s.dir, name) }

// close gives the folder up.
func (s *state) close() error { return s.lock.Close() }

// write replaces a file of the folder at once: a reader sees the old content or the new.
func (s *state) write(name string, data []byte) (err error) {
	temporary, err := os.CreateTemp(s.dir, ".new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("state %s cannot be written: %w", s.dir, reason(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	_, err = temporary.Write(data)
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", s.path(name), err)
	}
	return os.Rename(temporary.Name(), s.path(name))
}

// readOrMake returns the content of a private file of the folder, made by make the first time.
func (s *state) readOrMake(name string, make func() ([]byte, error)) ([]byte, error) {
	path := s.path(name)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		data, err := make()
		if err != nil {
			return nil, err
		}
		return data, s.write(name, data)
	case err != nil:
		return nil, err
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has the mode %04o and is a key; only its owner may read it: chmod 0600 %s", path, info.Mode().Perm(), path)
	}
	return os.ReadFile(path)
}

// reason is an error of the file system without the path, which stands in the sentence already.
func reason(err error) error {
	var cause *fs.PathError
	if errors.As(err, &cause) {
		return cause.Err
	}
	return err
}

// Package state is the state folder: it has one owner at a time, nobody else may enter it, and a file of it is replaced as a
// whole or not at all. What the files mean is known to those who write them; here are their names.
//
// The folder, and what is in it, belongs to the user of the process that takes it. Root, who administers a service that runs
// as another user, becomes that user first ([BecomeOwner]), so that nothing in the folder can lead it to a file, or to a
// process, that the owner could not have reached. A folder that nobody named is used only where the user made it
// ([CheckFound]). Links in the folder are not followed.
//
// It stands on floor 1, beside the configuration, and knows nothing of what is kept.
package state

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

// Files of the folder.
const (
	Database     = "vilogate.db"
	SealKey      = "seal.key"
	AssertionKey = "assertion.key"
	Addresses    = "addresses.json"
	Config       = "config" // the path of the configuration that the last server used
	// Certificates is a folder of those of an authority: all of them without Redis, with it a sealed copy of what is served.
	Certificates = "certificates"
)

// ours are the files and folders that only vilogate makes.
var ours = []string{
	lockName, Database, Database + "-wal", Database + "-shm", Database + "-journal", Database + "-mark",
	SealKey, AssertionKey, Addresses, Config, Certificates, "ca.pem", "ca.key", "control.sock", "backends",
}

const lockName = "lock"

// Folder is the state folder of one process, which alone may use it until Close.
type Folder struct {
	Dir    string   // absolute
	lock   *os.File // held with flock
	shared bool
}

// ErrInUse says that another process has the state folder.
var ErrInUse = errors.New("it is in use")

// Open makes sure that the folder is there, private and of this process's user, with all that is in it, and takes it. It is
// made when create says so. To a folder that is refused nothing is done. The error is ErrInUse when another process has it.
func Open(dir string, create bool) (*Folder, error) {
	s, err := enter(dir, create)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		owner, readErr := io.ReadAll(io.LimitReader(s.lock, 32))
		if err = errors.Join(s.Close(), readErr); err != nil {
			return nil, fmt.Errorf("state %s: %w", s.Dir, err)
		}
		return nil, fmt.Errorf("state %s: %w by another vilogate (process %s); two processes need two folders", s.Dir, ErrInUse, strings.TrimSpace(string(owner)))
	}
	if err := s.Claim(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Share takes a folder together with the process that has it and handed over its lock, of which it takes possession: the lock is
// free when both have given the folder up. Where lock is nil or another folder's, as where the configuration has changed, the
// folder is taken like any other.
func Share(dir string, create bool, lock *os.File) (*Folder, error) {
	if lock == nil {
		return Open(dir, create)
	}
	s, err := enter(dir, create)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	there, err := s.lock.Stat()
	given, e := lock.Stat()
	if err := errors.Join(err, e, s.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("state %s: %w", s.Dir, err), lock.Close())
	}
	if !os.SameFile(there, given) {
		if err := lock.Close(); err != nil {
			return nil, fmt.Errorf("state %s: %w", s.Dir, err)
		}
		return Open(dir, create)
	}
	s.lock, s.shared = lock, true
	return s, nil
}

// Shared reports whether the folder is the one that another process has handed over.
func (s *Folder) Shared() bool { return s.shared }

// Lock is the file that another process has to hold, to [Share] the folder. It stays the folder's.
func (s *Folder) Lock() *os.File { return s.lock }

// Claim writes down that this process has the folder, over what stands there: that takes no room on a full disk.
func (s *Folder) Claim() error {
	owner := strconv.Itoa(os.Getpid()) + "\n"
	if err := errors.Join(writeAt(s.lock, owner), s.lock.Truncate(int64(len(owner)))); err != nil {
		return fmt.Errorf("state %s cannot be written: %w", s.Dir, pathErrorCause(err))
	}
	return nil
}

// enter makes sure of what Open does, and opens the lock, which may be held.
func enter(dir string, create bool) (*Folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("state %s: %w", dir, err)
	}
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state %s cannot be made: %w", dir, pathErrorCause(err))
		}
	}
	if link, err := os.Lstat(dir); err == nil && ownerOf(link) != os.Geteuid() && ownerOf(link) != 0 {
		return nil, foreignError(dir, ownerOf(link)) // a link to the folder, too
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return nil, fmt.Errorf("state %s: %w", dir, pathErrorCause(err))
	case !info.IsDir():
		return nil, fmt.Errorf("state %s is not a folder", dir)
	case ownerOf(info) != os.Geteuid():
		return nil, foreignError(dir, ownerOf(info))
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("state %s has the mode %04o and holds keys; only its owner may enter: chmod 0700 %s", dir, info.Mode().Perm(), dir)
	}
	if err := checkFiles(dir); err != nil {
		return nil, err
	}
	lock, err := openFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, os.Geteuid())
	if err != nil {
		return nil, fmt.Errorf("state %s (mode %04o) cannot be used: %w", dir, info.Mode().Perm(), pathErrorCause(err))
	}
	return &Folder{Dir: dir, lock: lock}, nil
}

// checkFiles refuses links, and what belongs to somebody else, where our own files are to be.
func checkFiles(dir string) error {
	for _, name := range ours {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if err == nil {
			err = checkFile(path, info, os.Geteuid())
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// Path is a file in the folder.
func (s *Folder) Path(name string) string { return filepath.Join(s.Dir, name) }

// Close gives the folder up.
func (s *Folder) Close() error { return s.lock.Close() }

// Write replaces a file of the folder at once: a reader sees the old content or the new.
func (s *Folder) Write(name string, data []byte) (err error) {
	temporary, err := os.CreateTemp(s.Dir, ".new-*") // of mode 0600
	if err != nil {
		return fmt.Errorf("state %s cannot be written: %w", s.Dir, pathErrorCause(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	_, err = temporary.Write(data)
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", s.Path(name), err)
	}
	return os.Rename(temporary.Name(), s.Path(name))
}

// Read reads a file of the folder. A link is not followed.
func (s *Folder) Read(name string) (data []byte, err error) {
	f, err := openFile(s.Path(name), os.O_RDONLY, os.Geteuid())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(f)
}

// ReadOrCreate returns the content of a private file of the folder, made by make the first time.
func (s *Folder) ReadOrCreate(name string, make func() ([]byte, error)) ([]byte, error) {
	path := s.Path(name)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		data, err := make()
		if err != nil {
			return nil, err
		}
		return data, s.Write(name, data)
	case err != nil:
		return nil, err
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has the mode %04o and is a key; only its owner may read it: chmod 0600 %s", path, info.Mode().Perm(), path)
	}
	return s.Read(name)
}

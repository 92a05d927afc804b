package certstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/certmagic"
)

// Files keeps everything in a folder. Values are written to a temporary file,
// fsynced and renamed (atomic write); keys have the mode 0600. Safe for concurrent use in one process.
type Files struct{ certmagic.FileStorage }

// OpenFiles opens the folder, which is made when it is first written to. Nobody
// else may use it: locks that are found there are a dead process's, and removed.
func OpenFiles(dir string) (*Files, error) {
	if err := os.RemoveAll(filepath.Join(dir, "locks")); err != nil {
		return nil, fmt.Errorf("certificates: removing the locks of a process that has ended: %w", err)
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("certificates: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("certificates: %s has the mode %04o and holds keys; only its owner may enter: chmod 0700 %s", dir, info.Mode().Perm(), dir)
	}
	return &Files{certmagic.FileStorage{Path: dir}}, nil
}

// String says where it is, for people.
func (f *Files) String() string { return f.Path }

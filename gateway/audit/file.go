package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// file is the file that is written, and its rotation. One goroutine owns it.
type file struct {
	path    string
	maxSize int64
	keep    int

	f       *os.File // nil after a rotation that could not open the next one
	size    int64
	regular bool
	torn    bool // torn write: the last line has no newline
}

func openFile(path string, maxSize int64, keep int) (*file, error) {
	f := &file{path: path, maxSize: maxSize, keep: keep}
	return f, f.open()
}

// open opens the file. What a crash left of a line gets an end, so that the next record does not go with it.
func (f *file) open() error {
	if err := checkLink(f.path); err != nil {
		return err
	}
	opened, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("audit: opening the log: %w", err)
	}
	info, err := opened.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("audit: opening the log: %w", err), opened.Close())
	}
	f.f, f.size, f.regular, f.torn = opened, info.Size(), info.Mode().IsRegular(), false
	if f.regular && f.size > 0 {
		f.torn, err = endsMidLine(f.path, f.size)
	}
	if err != nil {
		f.f = nil
		return errors.Join(err, opened.Close())
	}
	return nil
}

// checkLink refuses a symbolic link that another user made, root apart: the log would grow, and be made, where it points to.
func checkLink(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSymlink {
		return nil // opening it says what is wrong
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) != os.Geteuid() && s.Uid != 0 {
		return fmt.Errorf("audit: %s is a symbolic link made by the user with the uid %d, and this is %d: remove it, and keep others from writing to its folder", path, s.Uid, os.Geteuid())
	}
	return nil
}

// endsMidLine reports whether a file ends without a newline (a torn write).
func endsMidLine(path string, size int64) (mid bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("audit: looking at the end of the log: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil {
		return false, fmt.Errorf("audit: looking at the end of the log: %w", err)
	}
	return last[0] != '\n', nil
}

// write appends whole lines, all of them or none. Another process may write to the same file for a while, the one that takes over
// from this one or the one before it: what is counted is the file's size, and nothing of the other's is ever cut off.
func (f *file) write(lines []byte) error {
	f.measure()
	if f.isFull(len(lines)) && f.moved() { // the other has rotated it
		if err := f.reopen(); err != nil {
			return err
		}
	}
	if f.isFull(len(lines)) {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.f == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := f.f.Write(lines)
	if err == nil {
		f.size, f.torn = f.size+int64(n), false
		return nil
	}
	err = fmt.Errorf("audit: writing: %w", err)
	if n > 0 {
		f.torn = true
		if f.regular && f.isLast(n) && f.f.Truncate(f.size) == nil {
			f.torn = false
		} else {
			f.size += int64(n)
		}
	}
	return err
}

// measure reads the size of a regular file, to which another process may have written. Where it cannot, writing says why.
func (f *file) measure() {
	if f.f == nil || !f.regular {
		return
	}
	if info, err := f.f.Stat(); err == nil {
		f.size = info.Size()
	}
}

// isFull reports whether so many bytes more take a rotation.
func (f *file) isFull(more int) bool {
	return f.regular && f.size > 0 && f.size+int64(more) > f.maxSize
}

// moved reports whether the file is not the one at its path any more.
func (f *file) moved() bool {
	if f.f == nil {
		return false
	}
	current, err := f.f.Stat()
	if err != nil {
		return false
	}
	atPath, err := os.Stat(f.path)
	return err != nil || !os.SameFile(current, atPath)
}

// isLast reports whether the file ends with the n bytes that were written behind what f.size counts.
func (f *file) isLast(n int) bool {
	info, err := f.f.Stat()
	return err == nil && info.Size() == f.size+int64(n)
}

// rotate renames the files to their next numbers, removes the last, and opens a new one.
func (f *file) rotate() error {
	if err := f.syncAndClose(); err != nil {
		return fmt.Errorf("audit: rotating: %w", err)
	}
	if f.keep == 0 {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("audit: rotating: %w", err)
		}
		f.size = 0
		return f.open()
	}
	for number := f.keep; number > 0; number-- {
		from := f.path
		if number > 1 {
			from += "." + strconv.Itoa(number-1)
		}
		if err := os.Rename(from, f.path+"."+strconv.Itoa(number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("audit: rotating: %w", err)
		}
	}
	f.size = 0 // whatever comes now: what has its number is not given another
	if err := f.open(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.path))
}

// syncDir fsyncs the directory, so that the renames last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("audit: rotating: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("audit: rotating: %w", err)
	}
	return nil
}

// reopen opens a new file where the current one was moved or removed, as logrotate does: what went there would be lost to
// whoever looks for it by its name.
func (f *file) reopen() error {
	if f.f == nil || !f.regular {
		return nil
	}
	if _, err := f.f.Stat(); err != nil {
		return fmt.Errorf("audit: looking at the log: %w", err)
	}
	if !f.moved() {
		return nil
	}
	if err := f.syncAndClose(); err != nil {
		return fmt.Errorf("audit: closing the moved log: %w", err)
	}
	return f.open()
}

// syncAndClose fsyncs the file and closes it. It is closed, too, where the fsync failed.
func (f *file) syncAndClose() error {
	if f.f == nil {
		return nil
	}
	err := errors.Join(f.f.Sync(), f.f.Close())
	f.f = nil
	return err
}

// sync fsyncs a regular file.
func (f *file) sync() error {
	if f.f == nil || !f.regular {
		return nil
	}
	if err := f.f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("audit: fsync: %w", err)
	}
	return nil
}

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

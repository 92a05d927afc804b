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
	torn    bool // the last line has no end
}

func openFile(path string, maxSize int64, keep int) (*file, error) {
	f := &file{path: path, maxSize: maxSize, keep: keep}
	return f, f.open()
}

// open opens the file. What a crash left of a line gets an end, so that the next record does not go with it.
func (f *file) open() error {
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
		f.torn, err = endsWithin(f.path, f.size)
	}
	if err != nil {
		f.f = nil
		return errors.Join(err, opened.Close())
	}
	return nil
}

// endsWithin reports whether a file ends within a line.
func endsWithin(path string, size int64) (within bool, err error) {
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

// write appends whole lines, all of them or none.
func (f *file) write(lines []byte) error {
	if f.regular && f.size > 0 && f.size+int64(len(lines)) > f.maxSize {
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
		if f.regular && f.f.Truncate(f.size) == nil {
			f.torn = false
		} else {
			f.size += int64(n)
		}
	}
	return err
}

// rotate gives the files their next numbers, lets go of the last, and begins a new one.
func (f *file) rotate() error {
	if err := f.finish(); err != nil {
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
	return syncFolder(filepath.Dir(f.path))
}

// syncFolder forces the names of the files to the disk.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("audit: rotating: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("audit: rotating: %w", err)
	}
	return nil
}

// reopen begins a new file where somebody has moved the one that is written, or removed it: what went there would be
// lost to whoever looks for it by its name.
func (f *file) reopen() error {
	if f.f == nil || !f.regular {
		return nil
	}
	mine, err := f.f.Stat()
	if err != nil {
		return fmt.Errorf("audit: looking at the log: %w", err)
	}
	named, err := os.Stat(f.path)
	if err == nil && os.SameFile(mine, named) {
		return nil
	}
	if err := f.finish(); err != nil {
		return fmt.Errorf("audit: closing the log that was moved: %w", err)
	}
	return f.open()
}

// finish forces the file to the disk and closes it. It is closed, too, where that failed.
func (f *file) finish() error {
	if f.f == nil {
		return nil
	}
	err := errors.Join(f.f.Sync(), f.f.Close())
	f.f = nil
	return err
}

// sync forces what was written to the disk. What is no regular file has none.
func (f *file) sync() error {
	if f.f == nil || !f.regular {
		return nil
	}
	if err := f.f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("audit: forcing the log to the disk: %w", err)
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

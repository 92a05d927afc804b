// Package spool holds bodies in files, where memory has no room for them.
//
// It belongs to gateway, and is on floor 1. A file has no name (it is unlinked as soon as it is open) and mode 0600, so that nothing
// stays behind, whatever ends the process. There is never less than a fifth of the file system free after a write, and never more of
// one client network than a quarter of all.
package spool

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"github.com/viloforge/vilogate/gateway/internal/quota"
)

// ErrFull is the error where there is no room: on the file system, of all files, or of one client's.
var ErrFull = errors.New("spool: no room")

// reserve is what part of the file system stays free: a fifth.
const reserve = 5

// step is how many bytes a file takes of the room at a time.
const step = 1 << 20

// Spool bounds the files of a folder. Safe for concurrent use; its zero value and nil have no room.
type Spool struct {
	dir   string
	bytes *quota.Quota
	files *quota.Quota
	// failed is told what else than a lack of room keeps a body from a file.
	failed func(error)
	// free is how many bytes the file system has, and how many of them are free for this process.
	free func(dir string) (free, all uint64, err error)
}

// New makes one of so many bytes and files in all, in a folder that is there. failed is told of each error but ErrFull.
func New(dir string, bytes int64, files int, failed func(error)) *Spool {
	return &Spool{dir: dir, failed: failed, bytes: quota.New(bytes, bytes/4), files: quota.New(int64(files), max(int64(files)/4, 1)), free: freeBytes}
}

// freeBytes counts as df does: what is kept for the superuser is neither free nor part of all.
func freeBytes(dir string) (free, all uint64, err error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, 0, fmt.Errorf("spool: %w", err)
	}
	size := uint64(fs.Bsize)
	return fs.Bavail * size, (fs.Blocks - fs.Bfree + fs.Bavail) * size, nil
}

// Used is how many bytes of room all files have.
func (s *Spool) Used() int64 {
	if s == nil || s.bytes == nil {
		return 0
	}
	return s.bytes.Used()
}

// Create makes a file for a body of a client network (request.ClientNetwork). The error is ErrFull, or that of the file system.
func (s *Spool) Create(client netip.Prefix) (*File, error) {
	if s == nil || s.bytes == nil || !s.files.Acquire(client, 1) {
		return nil, ErrFull
	}
	f, err := os.CreateTemp(s.dir, ".body-*") // of mode 0600
	if err == nil {
		if err = os.Remove(f.Name()); err != nil {
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		s.files.Release(client, 1)
		err = fmt.Errorf("spool: %w", err)
		s.failed(err)
		return nil, err
	}
	return &File{of: s, client: client, file: f}, nil
}

// File is a body, or a part of one: a queue of bytes. One goroutine may write while another reads what it knows to be written.
type File struct {
	of     *Spool
	client netip.Prefix
	file   *os.File

	room          int64 // taken of the spool, in bytes; the writer's
	written, read int64 // the writer's, and the reader's
}

// Write implements io.Writer. The error is ErrFull, and nothing is written, or that of the file system.
func (f *File) Write(p []byte) (int, error) {
	for f.written+int64(len(p)) > f.room {
		if !f.grow() {
			return 0, ErrFull
		}
	}
	n, err := f.file.WriteAt(p, f.written)
	if err != nil {
		err = errors.Join(err, f.file.Truncate(f.written))
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			return 0, ErrFull
		}
		f.of.failed(err)
		return 0, err
	}
	f.written += int64(n)
	return n, nil
}

func (f *File) grow() bool {
	free, all, err := f.of.free(f.of.dir)
	if err != nil || free < step || free-step < all/reserve || !f.of.bytes.Acquire(f.client, step) {
		return false
	}
	f.room += step
	return true
}

// Read implements io.Reader: it reads what was written, from the first byte on. Who reads while more is being written asks for no more
// than was written.
func (f *File) Read(p []byte) (int, error) {
	n, err := f.file.ReadAt(p, f.read)
	f.read += int64(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// Rewind has an empty file, of which all was read, be written from its beginning. Nobody reads or writes meanwhile.
func (f *File) Rewind() { f.written, f.read = 0, 0 }

// Close gives the file and its room up.
func (f *File) Close() error {
	f.of.bytes.Release(f.client, f.room)
	f.of.files.Release(f.client, 1)
	f.room = 0
	return f.file.Close()
}

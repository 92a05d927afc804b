package database

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// The mark file holds two records of one disk sector each, written in turn, so that a write cut short leaves the other.
const (
	markSector = 512
	markFormat = "vilogate high-water mark 1: database %s made %d commits"
)

// errMarkDamaged says that neither record of a mark can be read.
var errMarkDamaged = errors.New("the high-water mark is damaged")

// A highWaterMark remembers, in a file beside the database, how many commits were acknowledged.
type highWaterMark struct {
	file *os.File

	mu      sync.Mutex
	id      string // the database that it is of
	commits int64
}

// readMark reads the mark at path: fs.ErrNotExist when there is none.
func readMark(path string) (id string, commits int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err := io.ReadAll(io.LimitReader(file, 2*markSector))
	if err != nil {
		return "", 0, err
	}
	for len(data) >= markSector {
		if i, n, ok := parseMark(data[:markSector]); ok && (id == "" || n > commits) {
			id, commits = i, n
		}
		data = data[markSector:]
	}
	if id == "" {
		return "", 0, errMarkDamaged
	}
	return id, commits, nil
}

func formatMark(id string, commits int64) []byte {
	text := fmt.Appendf(nil, markFormat, id, commits)
	text = fmt.Appendf(text, "\n%08x\n", crc32.ChecksumIEEE(text))
	return append(text, bytes.Repeat([]byte{'\n'}, markSector-len(text))...)
}

func parseMark(sector []byte) (id string, commits int64, ok bool) {
	text, _, _ := bytes.Cut(sector, []byte{'\n'})
	if _, err := fmt.Sscanf(string(text), "vilogate high-water mark 1: database %32s made %d commits", &id, &commits); err != nil {
		return "", 0, false
	}
	return id, commits, commits > 0 && bytes.Equal(sector, formatMark(id, commits))
}

// openMark opens or makes the mark at path, and sets it to the count of the database id.
func openMark(path, id string, commits int64) (m *highWaterMark, err error) {
	_, err = os.Lstat(path)
	created := errors.Is(err, fs.ErrNotExist)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	m = &highWaterMark{file: file, id: id}
	err = m.advance(commits)
	if created {
		err = errors.Join(err, syncDir(filepath.Dir(path)))
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return m, nil
}

// advance remembers that so many commits were made; it returns once that is on the disk.
func (m *highWaterMark) advance(commits int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if commits <= m.commits {
		return nil
	}
	if _, err := m.file.WriteAt(formatMark(m.id, commits), commits%2*markSector); err != nil {
		return fmt.Errorf("writing the high-water mark: %w", err)
	}
	if err := m.file.Sync(); err != nil {
		return fmt.Errorf("writing the high-water mark: %w", err)
	}
	m.commits = commits
	return nil
}

func (m *highWaterMark) close() error { return m.file.Close() }

// syncDir makes the entry of a new file in a folder durable.
func syncDir(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxRecordSize bounds a line that is read, in bytes.
const maxRecordSize = 1 << 20

// ErrNotFound means that no record has the request's id.
var ErrNotFound = errors.New("audit: no record has this request id")

// A LineError is a line that is no record: cut off by a crash, written by hand, or of a version that is not known.
type LineError struct {
	File string
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap is the cause.
func (e *LineError) Unwrap() error { return e.Err }

// A line is a record, or an event.
type line struct {
	record *Record
	event  *Event
}

// Read yields the records of a file in their order, and passes over events. A line that is neither is yielded as a *LineError,
// and reading goes on behind it; any other error is the last.
func Read(r io.Reader, name string) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for l, err := range readLines(r, name) {
			if (l.record != nil || err != nil) && !yield(l.record, err) {
				return
			}
		}
	}
}

func readLines(r io.Reader, name string) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		lines := bufio.NewReaderSize(r, 64<<10)
		for number := 1; ; number++ {
			text, err := readLine(lines)
			if len(text) > 0 {
				l, invalid := parse(text)
				if invalid == nil && err != nil {
					l, invalid = line{}, errors.New("truncated line")
				}
				if invalid != nil {
					l, invalid = line{}, &LineError{name, number, invalid}
				}
				if !yield(l, invalid) {
					return
				}
			}
			switch {
			case err == io.EOF:
				return
			case err != nil:
				yield(line{}, fmt.Errorf("audit: reading %s: %w", name, err))
				return
			}
		}
	}
}

// readLine returns a line without its end; of one that is too long, enough to be refused for it.
func readLine(r *bufio.Reader) (text []byte, err error) {
	for {
		chunk, err := r.ReadSlice('\n')
		if remaining := maxRecordSize + 1 - len(text); remaining > 0 {
			text = append(text, chunk[:min(len(chunk), remaining)]...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(text, []byte("\n")), err
		}
	}
}

func parse(text []byte) (l line, err error) {
	if len(text) > maxRecordSize {
		return l, fmt.Errorf("record too long: a line of more than %d bytes", maxRecordSize)
	}
	var version struct {
		V     *int    `json:"v"`
		Event *string `json:"event"`
	}
	if err := json.Unmarshal(text, &version); err != nil {
		return l, fmt.Errorf("invalid record: %w", err)
	}
	switch {
	case version.V == nil:
		return l, errors.New("invalid record: it names no version (v)")
	case *version.V != Version:
		return l, fmt.Errorf("unsupported version: a record of version %d; this program knows version %d", *version.V, Version)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if version.Event != nil {
		event := new(Event)
		if err := d.Decode(event); err != nil {
			return l, fmt.Errorf("invalid record: %w", err)
		}
		return line{event: event}, event.check()
	}
	record := new(Record)
	if err := d.Decode(record); err != nil {
		return l, fmt.Errorf("invalid record: %w", err)
	}
	return line{record: record}, record.check()
}

func (r *Record) check() error {
	switch {
	case r.Time.IsZero() || r.RequestID == "" || r.Decision == "" || r.Method == "":
		return errors.New("invalid record: time, request_id, method and decision are never left out")
	case r.Who != nil && r.Who.Credential != ByCookie && r.Who.Credential != ByHeader && r.Who.Credential != ByBearer:
		return errors.New("invalid record: a credential is cookie, header or bearer")
	}
	return nil
}

// Files are the files of a log, the oldest first.
func Files(path string) ([]string, error) {
	names, err := filepath.Glob(escapeGlob(path) + ".*")
	if err != nil {
		return nil, fmt.Errorf("audit: looking for the files of %s: %w", path, err)
	}
	type rotated struct {
		name   string
		number int
	}
	var old []rotated
	for _, name := range names {
		number, err := strconv.Atoi(strings.TrimPrefix(name, path+"."))
		if err == nil && number > 0 {
			old = append(old, rotated{name, number})
		}
	}
	slices.SortFunc(old, func(a, b rotated) int { return b.number - a.number })
	var files []string
	for _, r := range old {
		files = append(files, r.name)
	}
	if _, err := os.Stat(path); err == nil {
		files = append(files, path)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("audit: there is no log at %s", path)
	}
	return files, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// ReadAll yields the records of all files of a log, the oldest first, as Read does.
func ReadAll(path string) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for l, err := range readAllLines(path) {
			if (l.record != nil || err != nil) && !yield(l.record, err) {
				return
			}
		}
	}
}

// ReadEvents yields the events of all files of a log, the oldest first, with errors as ReadAll has them.
func ReadEvents(path string) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for l, err := range readAllLines(path) {
			if (l.event != nil || err != nil) && !yield(l.event, err) {
				return
			}
		}
	}
}

func readAllLines(path string) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		files, err := Files(path)
		if err != nil {
			yield(line{}, err)
			return
		}
		for _, name := range files {
			if !readFile(name, yield) {
				return
			}
		}
	}
}

// readFile yields the lines of one file, and reports whether more are wanted.
func readFile(name string, yield func(line, error) bool) bool {
	f, err := os.Open(name)
	if err != nil {
		return yield(line{}, fmt.Errorf("audit: %w", err))
	}
	defer func() { _ = f.Close() }() // it was only read
	for l, err := range readLines(f, name) {
		if !yield(l, err) {
			return false
		}
	}
	return true
}

// Find returns the record of a request, the newest where there are several: ErrNotFound where there is none. Lines that
// are no records are passed over.
func Find(path, requestID string) (*Record, error) {
	var found *Record
	for record, err := range ReadAll(path) {
		switch {
		case errors.As(err, new(*LineError)):
		case err != nil:
			return nil, err
		case record.RequestID == requestID:
			found = record
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, requestID)
	}
	return found, nil
}

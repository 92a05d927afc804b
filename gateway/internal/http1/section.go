package http1

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// The bounds of a head, and of a trailer section.
const (
	MaxHeadBytes    = 256 << 10
	MaxFields       = 1024
	MaxTrailerBytes = 16 << 10
	maxTrailers     = 128
)

// ErrTooLong is the error of a message that is longer than the bounds.
var ErrTooLong = errors.New("http1: a head, a trailer section or a chunk's line beyond the bounds")

// MalformedError says what is wrong with a message. It quotes nothing of it.
type MalformedError struct{ Reason string }

func (e *MalformedError) Error() string { return "http1: " + e.Reason }

func malformed(format string, args ...any) error {
	return &MalformedError{fmt.Sprintf(format, args...)}
}

// cutLine cuts the first line off, without its end; false where there is no whole one.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return nil, nil, false
	}
	line, rest = b[:end], b[end+1:]
	if end > 0 && line[end-1] == '\r' {
		line = line[:end-1]
	}
	return line, rest, true
}

// unfold replaces the line ends of folded values by spaces (RFC 9112, section 5.2). b begins with a line of a field.
func unfold(b []byte) {
	for i := 1; i+1 < len(b); i++ {
		if b[i] == '\n' && (b[i+1] == ' ' || b[i+1] == '\t') {
			if b[i] = ' '; b[i-1] == '\r' {
				b[i-1] = ' '
			}
		}
	}
}

// parseFields parses the lines of a section, each with its end, and adds them to fields, of which there may be so many.
func parseFields(fields field.List, section string, most int) (field.List, error) {
	for section != "" {
		end := strings.IndexByte(section, '\n')
		if end < 0 {
			return nil, malformed("a line of a header without an end")
		}
		line := section[:end]
		section = section[end+1:]
		if end > 0 && line[end-1] == '\r' {
			line = line[:end-1]
		}
		name, value, ok := strings.Cut(line, ":")
		switch {
		case !ok || !request.IsToken(name):
			return nil, malformed("a line of a header that begins with no name and colon")
		case len(fields) == most:
			return nil, ErrTooLong
		}
		if value = request.TrimOWS(value); !field.IsValue(value) {
			return nil, malformed("a control character in a value")
		}
		fields = append(fields, field.Field{Name: name, Value: value})
	}
	return fields, nil
}

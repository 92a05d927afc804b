package http1

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Field is a field of a header or a trailer, as it was spelled.
type Field struct{ Name, Value string }

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

// isTokenByte are the bytes of a token (RFC 9110, section 5.6.2).
var isTokenByte = tokenBytes()

func tokenBytes() (all [256]bool) {
	for c := range 256 {
		letterOrDigit := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		all[c] = letterOrDigit || c < 0x80 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return all
}

// isToken reports whether s is a token.
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// isValue reports whether s holds only what a field's value may (RFC 9110, section 5.5): no control characters but tabs.
func isValue[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
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
func parseFields(fields []Field, section string, most int) ([]Field, error) {
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
		case !ok || !isToken(name):
			return nil, malformed("a line of a header that begins with no name and colon")
		case len(fields) == most:
			return nil, ErrTooLong
		}
		if value = strings.Trim(value, " \t"); !isValue(value) {
			return nil, malformed("a control character in a value")
		}
		fields = append(fields, Field{name, value})
	}
	return fields, nil
}

// HasToken reports whether one of the fields of that name has the token in its list, without regard to case.
func HasToken(fields []Field, name, token string) bool {
	for _, f := range fields {
		if !strings.EqualFold(f.Name, name) {
			continue
		}
		for element := range strings.SplitSeq(f.Value, ",") {
			if strings.EqualFold(strings.Trim(element, " \t"), token) {
				return true
			}
		}
	}
	return false
}

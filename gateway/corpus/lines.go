package corpus

import (
	"errors"
	"strings"
)

// Why a server reads no more of a stream.
var (
	ErrCut     = errors.New("corpus: the stream ends within a message")
	ErrRefused = errors.New("corpus: the server refuses the message")
)

// Field is a field as a server has it.
type Field struct{ Name, Value string }

// dialect is what a server lets pass of what RFC 9112 does not.
type dialect struct {
	bareLF, bareCR     bool   // end a line
	keepsLF            bool   // is a byte of a line like any other
	folds              bool   // a line that begins with a space belongs to the one before
	trimsNames         bool   // spaces may stand before the colon
	skipsBadLines      bool   // lines without a name are passed over
	dropsUnderscores   bool   // fields with one in their name are passed over
	foldsFraming       bool   // Content_Length is Content-Length
	spaces             string // around a value
	spacedTargets      bool   // a target may hold spaces, and stand among several
	http09             bool   // a request line without a version is a request
	listsCodings       bool   // chunked may stand anywhere in Transfer-Encoding
	codingWins         bool   // over a length, instead of being refused beside one
	lastLength         bool   // counts of several, instead of being refused
	webSocketKey       bool   // Sec-WebSocket-Key1 is followed by eight bytes (draft-ietf-hybi-thewebsocketprotocol-00)
	prefixedNumbers    bool   // + and 0x
	numbersEnd         bool   // with the first byte that is no digit
	numbersOverflow    bool   // are counted modulo 2^64
	passesOverChunkEnd bool   // whatever stands there
	absoluteHost       bool   // that of a target in absolute-form counts
}

// cutLine cuts a line off, by what ends one in the dialect.
func (d *dialect) cutLine(s string) (line, rest string, err error) {
	for i := range len(s) {
		switch {
		case s[i] == '\r' && i+1 < len(s) && s[i+1] == '\n':
			return s[:i], s[i+2:], nil
		case s[i] == '\n' && d.bareLF, s[i] == '\r' && d.bareCR && i+1 < len(s):
			return s[:i], s[i+1:], nil
		case s[i] == '\n' && !d.keepsLF:
			return "", "", ErrRefused
		}
	}
	return "", "", ErrCut
}

// fields are those of a section that ends with an empty line.
func (d *dialect) fields(s string) (all []Field, rest string, err error) {
	for {
		line, after, err := d.cutLine(s)
		if err != nil || line == "" {
			return all, after, err
		}
		if s = after; line[0] == ' ' || line[0] == '\t' {
			if !d.folds || len(all) == 0 {
				return nil, "", ErrRefused
			}
			all[len(all)-1].Value += " " + strings.Trim(line, " \t")
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if d.trimsNames {
			name = strings.TrimRight(name, " \t")
		}
		if !ok || !isName(name) {
			if d.skipsBadLines {
				continue
			}
			return nil, "", ErrRefused
		}
		if d.dropsUnderscores && strings.IndexByte(name, '_') >= 0 {
			continue
		}
		all = append(all, Field{name, strings.Trim(value, d.spaces)})
	}
}

// isName reports whether a field may have that name, which is a token.
func isName(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || strings.IndexByte("()<>@,;:\\\"/[]?={}", s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// chunks is a chunked body, and what is behind its trailer section.
func (d *dialect) chunks(s string) (body string, trailer []Field, rest string, err error) {
	for {
		line, after, err := d.cutLine(s)
		if err != nil {
			return "", nil, "", err
		}
		size, ok := d.chunkSize(line)
		switch {
		case !ok:
			return "", nil, "", ErrRefused
		case size == 0:
			trailer, rest, err := d.fields(after)
			return body, trailer, rest, err
		case size > uint64(len(after)):
			return "", nil, "", ErrCut
		}
		body += after[:size]
		if line, s, err = d.cutLine(after[size:]); err != nil {
			return "", nil, "", err
		}
		if line != "" && !d.passesOverChunkEnd {
			return "", nil, "", ErrRefused
		}
	}
}

// chunkSize is the number that a line begins with. What is beyond 64 bits is cut off where the dialect does that.
func (d *dialect) chunkSize(line string) (size uint64, ok bool) {
	line, _, _ = strings.Cut(line, ";")
	line = strings.Trim(line, " \t")
	if d.prefixedNumbers {
		line = strings.TrimPrefix(strings.TrimPrefix(line, "+"), "0x")
	}
	for i := range len(line) {
		digit := strings.IndexByte("0123456789abcdef", line[i]|0x20)
		switch {
		case digit < 0 && i > 0 && d.numbersEnd:
			return size, true
		case digit < 0, size>>60 != 0 && !d.numbersOverflow:
			return 0, false
		}
		size = size<<4 | uint64(digit)
	}
	return size, line != ""
}

package edge

import (
	"bytes"
	"errors"
)

// errFraming says that a message of HTTP/1 could be taken apart in two ways.
var errFraming = errors.New("edge: ambiguous framing")

// framing follows the messages of one HTTP/1 connection, and finds
// what readers disagree about (RFC 9112, sections 2.2, 5.2, 6.1 and 6.3): a line
// that a bare LF ends, a folded line, two lengths, a length beside a transfer
// coding, another coding than chunked, another version. net/http takes some of
// that in its stride; a server before or behind it may not take it the same way.
//
// It decides nothing else. What it lets through is for net/http to judge.
type framing struct {
	state    framingState
	carriage bool     // the byte before was a CR
	length   int      // of the line
	begins   [64]byte // how the line begins
	version  uint64   // how the request line ends: its last 8 bytes

	old      bool // the message is of HTTP/1.0
	lengths  int  // Content-Length lines of the message
	chunked  bool
	left     int64 // bytes of the body or chunk
	trailing bool  // the lines are trailers
}

type framingState uint8

const (
	inRequestLine framingState = iota
	inFields                   // header or trailer
	inBody                     // of a known length
	inChunkSize
	inChunk
	afterChunk // the line break that ends one
)

// The request line's last eight bytes.
const (
	http11 = 'H'<<56 | 'T'<<48 | 'T'<<40 | 'P'<<32 | '/'<<24 | '1'<<16 | '.'<<8 | '1'
	http10 = 'H'<<56 | 'T'<<48 | 'T'<<40 | 'P'<<32 | '/'<<24 | '1'<<16 | '.'<<8 | '0'
)

// feed follows p, and returns how many bytes of it are beyond doubt.
func (f *framing) feed(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if f.state == inBody || f.state == inChunk {
			n := min(int64(len(p)-i), f.left)
			i += int(n)
			if f.left -= n; f.left == 0 {
				f.endOfData()
			}
			continue
		}
		part, _, ends := bytes.Cut(p[i:], []byte("\n"))
		n := f.part(part)
		i += n
		if n < len(part) || ends && (!f.carriage || !f.endOfLine()) {
			return i, errFraming
		}
		if ends {
			i++
		}
	}
	return len(p), nil
}

// part follows a part of a line, without its LF, and returns how many bytes of
// it may stand there.
func (f *framing) part(b []byte) int {
	switch {
	case len(b) == 0:
		return 0
	case f.carriage: // a bare CR
		return 0
	case f.state == inFields && f.length == 0 && (b[0] == ' ' || b[0] == '\t'): // a folded line
		return 0
	case f.state == afterChunk && b[0] != '\r':
		return 0
	}
	text, after, carriage := bytes.Cut(b, []byte("\r"))
	f.carriage = carriage
	if f.length < len(f.begins) {
		copy(f.begins[f.length:], text)
	}
	f.length += len(text)
	if f.state == inRequestLine {
		for _, c := range text[max(0, len(text)-8):] {
			f.version = f.version<<8 | uint64(c)
		}
	}
	return len(b) - len(after)
}

// endOfLine judges a line, and finds out what comes next.
func (f *framing) endOfLine() bool {
	line, whole := f.begins[:min(f.length, len(f.begins))], f.length <= len(f.begins)
	empty := f.length == 0
	f.carriage, f.length = false, 0
	switch f.state {
	case inRequestLine:
		version := f.version
		f.old = version == http10
		f.state, f.version, f.lengths, f.chunked, f.trailing, f.left = inFields, 0, 0, false, false, 0
		return version == http10 || version == http11
	case inFields:
		switch {
		case !empty:
			return f.trailing || f.field(line, whole)
		case f.trailing:
			f.state = inRequestLine
		case f.chunked:
			f.state = inChunkSize
		default:
			f.state = inBody
			if f.left == 0 {
				f.endOfData()
			}
		}
	case inChunkSize:
		return f.chunkSize(line, whole)
	case afterChunk:
		f.state = inChunkSize
	}
	return true
}

// field judges a line of the header that frames the message.
func (f *framing) field(line []byte, whole bool) bool {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.Trim(value, " \t")
	switch {
	case bytes.EqualFold(name, []byte("content-length")):
		f.lengths++
		n, ok := number(value, 10)
		f.left = n
		return whole && ok && f.lengths == 1 && !f.chunked
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		good := whole && bytes.EqualFold(value, []byte("chunked")) && !f.chunked && f.lengths == 0 && !f.old
		f.chunked = true
		return good
	}
	return true
}

// chunkSize reads the size of a chunk; what a sender says beside it is nobody's.
func (f *framing) chunkSize(line []byte, whole bool) bool {
	digits, _, extended := bytes.Cut(line, []byte(";"))
	n, ok := number(bytes.TrimRight(digits, " \t"), 16)
	switch f.left = n; {
	case !ok || !whole && !extended:
		return false
	case n == 0:
		f.state, f.trailing = inFields, true
	default:
		f.state = inChunk
	}
	return true
}

// endOfData goes on after a body or a chunk.
func (f *framing) endOfData() {
	if f.state == inChunk {
		f.state = afterChunk
		return
	}
	f.state = inRequestLine
}

// number reads digits of base 10 or 16, and nothing but digits.
func number(digits []byte, base int64) (int64, bool) {
	var n int64
	for _, c := range digits {
		d := int64(99)
		switch {
		case '0' <= c && c <= '9':
			d = int64(c - '0')
		case 'a' <= c && c <= 'f':
			d = int64(c-'a') + 10
		case 'A' <= c && c <= 'F':
			d = int64(c-'A') + 10
		}
		if d >= base || n > (1<<62)/base {
			return 0, false
		}
		n = n*base + d
	}
	return n, len(digits) > 0
}

// poison is what net/http refuses wherever the messages broke off: a line
// without end where it expects the size of a chunk, else a field without a name.
func (f *framing) poison() []byte {
	switch {
	case f.state == inChunkSize:
		return bytes.Repeat([]byte("x"), 8<<10)
	case f.state != afterChunk && f.length > 0:
		return []byte("\r\n\x00\r\n\r\n")
	}
	return []byte("\x00\r\n\r\n")
}

package edge

import (
	"bytes"
	"cmp"
	"errors"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// errAmbiguousFraming: a message of HTTP/1 that two parsers could frame differently (request smuggling).
var errAmbiguousFraming = errors.New("edge: ambiguous framing")

// framing follows the messages of one HTTP/1 connection, and finds what enables
// request smuggling (RFC 9112, sections 2.2, 5.2, 6.1, 6.3 and 11.2): a bare LF, a
// bare CR, obs-fold, two Content-Lengths, a Content-Length beside a
// Transfer-Encoding (CL.TE, TE.CL), another coding than chunked, another version.
// net/http tolerates some of that; a server before or behind it may parse it
// differently.
//
// A request target in absolute-form (RFC 9112, section 3.2.2) with https has to name
// what Host names: net/http takes the target's host and forgets Host, so that nobody
// behind it could tell that there were two (originForm takes it from there).
//
// It decides nothing else. What it lets through is for net/http to judge.
type framing struct {
	state   framingState
	afterCR bool             // the last byte was a CR
	length  int              // of the line
	prefix  [linePrefix]byte // first bytes of the line
	version uint64           // last 8 bytes of the request line

	http10    bool // the message is of HTTP/1.0
	lengths   int  // Content-Length lines of the message
	chunked   bool
	remaining int64 // bytes of the body or chunk
	inTrailer bool  // the lines are trailer fields

	authority string // of a target in absolute-form with https; "" for another form
	hosts     int    // Host lines of a message with one, all of which name it
}

const (
	linePrefix  = 512 // bytes: a method of 64, https:// and an authority of 260, or a Host line
	framingLine = 64  // bytes, which a line that frames the message may have
)

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

// feed follows p, and returns how many bytes of it are unambiguous.
func (f *framing) feed(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if f.state == inBody || f.state == inChunk {
			n := min(int64(len(p)-i), f.remaining)
			i += int(n)
			if f.remaining -= n; f.remaining == 0 {
				f.endOfData()
			}
			continue
		}
		part, _, ends := bytes.Cut(p[i:], []byte("\n"))
		n := f.linePart(part)
		i += n
		if n < len(part) || ends && (!f.afterCR || !f.endOfLine()) {
			return i, errAmbiguousFraming
		}
		if ends {
			i++
		}
	}
	return len(p), nil
}

// linePart follows a part of a line, without its LF, and returns how many bytes of
// it are valid.
func (f *framing) linePart(b []byte) int {
	switch {
	case len(b) == 0:
		return 0
	case f.afterCR: // a bare CR
		return 0
	case f.state == inFields && f.length == 0 && (b[0] == ' ' || b[0] == '\t'): // obs-fold
		return 0
	case f.state == afterChunk && b[0] != '\r':
		return 0
	}
	text, after, cr := bytes.Cut(b, []byte("\r"))
	f.afterCR = cr
	if f.length < len(f.prefix) {
		copy(f.prefix[f.length:], text)
	}
	f.length += len(text)
	if f.state == inRequestLine {
		for _, c := range text[max(0, len(text)-8):] {
			f.version = f.version<<8 | uint64(c)
		}
	}
	return len(b) - len(after)
}

// endOfLine checks a line, and moves to the next state.
func (f *framing) endOfLine() bool {
	line, fits := f.prefix[:min(f.length, len(f.prefix))], f.length <= len(f.prefix)
	start, whole := line[:min(len(line), framingLine)], f.length <= framingLine
	empty := f.length == 0
	f.afterCR, f.length = false, 0
	switch f.state {
	case inRequestLine:
		version := f.version
		f.http10 = version == http10
		f.state, f.version, f.lengths, f.chunked, f.inTrailer, f.remaining = inFields, 0, 0, false, false, 0
		return f.target(line, fits) && (version == http10 || version == http11)
	case inFields:
		switch {
		case !empty:
			return f.inTrailer || f.field(start, whole) && f.host(line, fits)
		case f.authority != "" && f.hosts != 1 && !f.inTrailer:
			return false
		case f.inTrailer:
			f.state = inRequestLine
		case f.chunked:
			f.state = inChunkSize
		default:
			f.state = inBody
			if f.remaining == 0 {
				f.endOfData()
			}
		}
	case inChunkSize:
		return f.chunkSize(start, whole)
	case afterChunk:
		f.state = inChunkSize
	}
	return true
}

// field checks a header line that frames the message.
func (f *framing) field(line []byte, whole bool) bool {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.Trim(value, " \t")
	switch {
	case bytes.EqualFold(name, []byte("content-length")):
		f.lengths++
		n, ok := parseDigits(value, 10)
		f.remaining = n
		return whole && ok && f.lengths == 1 && !f.chunked
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		good := whole && bytes.EqualFold(value, []byte("chunked")) && !f.chunked && f.lengths == 0 && !f.http10
		f.chunked = true
		return good
	}
	return true
}

// chunkSize parses the size of a chunk; chunk extensions are ignored (RFC 9112, section 7.1.1).
func (f *framing) chunkSize(line []byte, whole bool) bool {
	digits, _, extended := bytes.Cut(line, []byte(";"))
	n, ok := parseDigits(bytes.TrimRight(digits, " \t"), 16)
	switch f.remaining = n; {
	case !ok || !whole && !extended:
		return false
	case n == 0:
		f.state, f.inTrailer = inFields, true
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

// parseDigits parses digits of base 10 or 16, and nothing but digits.
func parseDigits(digits []byte, base int64) (int64, bool) {
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

// target notes the authority of a target in absolute-form with https. It is false for
// one that cannot be compared with Host.
func (f *framing) target(line []byte, fits bool) bool {
	f.authority, f.hosts = "", 0
	_, target, found := bytes.Cut(line, []byte(" "))
	if !found {
		return fits // else the target is not seen, and could be in absolute-form
	}
	if !isHTTPS(target) {
		return fits || len(target) >= len(httpsPrefix)
	}
	authority := target[len(httpsPrefix):]
	end := bytes.IndexAny(authority, "/?# ")
	if end < 1 {
		return false
	}
	f.authority = string(authority[:end])
	return sameAuthority(f.authority, f.authority)
}

// host checks a Host line of a message whose target is in absolute-form.
func (f *framing) host(line []byte, fits bool) bool {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if f.authority == "" || !bytes.EqualFold(name, []byte("host")) {
		return true
	}
	f.hosts++
	return fits && sameAuthority(f.authority, string(bytes.Trim(value, " \t")))
}

const httpsPrefix = "https://"

// isHTTPS reports whether a target is in absolute-form with https. Schemes have no case.
func isHTTPS[T string | []byte](target T) bool {
	return len(target) >= len(httpsPrefix) && strings.EqualFold(string(target[:len(httpsPrefix)]), httpsPrefix)
}

// sameAuthority reports whether two authorities are well-formed, without user
// information, and the same: host and port, which is 443 where none is named, and a
// final dot.
func sameAuthority(a, b string) bool {
	a, dotA := request.TrimFinalDot(a)
	b, dotB := request.TrimFinalDot(b)
	hostA, portA, errA := request.ParseAuthority(a)
	hostB, portB, errB := request.ParseAuthority(b)
	return errA == nil && errB == nil && hostA == hostB && cmp.Or(portA, "443") == cmp.Or(portB, "443") && dotA == dotB
}

// invalidMessage is what net/http answers 400 to in this state: a line without
// end where it expects a chunk size, else a field with an invalid name.
func (f *framing) invalidMessage() []byte {
	switch {
	case f.state == inChunkSize:
		return bytes.Repeat([]byte("x"), 8<<10)
	case f.state != afterChunk && f.length > 0:
		return []byte("\r\n\x00\r\n\r\n")
	}
	return []byte("\x00\r\n\r\n")
}

package http1

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// RequestHead is the head of a request.
type RequestHead struct {
	Method string
	Target string // as it was sent
	Host   string // "" where there is none, which only HTTP/1.0 allows
	Minor  int    // of the version: 0 or 1
	Fields field.List
	Length int64 // of the body in bytes, or Chunked
	Close  bool  // the connection ends with the request
	Expect bool  // Expect: 100-continue
}

// RefusedError is the error of a request that cannot be served: the status to answer it with, and why. It quotes nothing of it.
type RefusedError struct {
	Status int
	Reason string
}

func (e *RefusedError) Error() string { return "http1: " + e.Reason }

func refused(status int, reason string) error { return &RefusedError{status, reason} }

func badRequest(reason string) error { return refused(http.StatusBadRequest, reason) }

// RequestEnd is how many bytes of b are the head of a request: up to its empty line, which is included; 0 where there is none
// yet. The first from bytes of b are known not to end one. The error is a RefusedError where a line ends in a bare line feed:
// what follows could be read in two ways, and is not waited for.
func RequestEnd(b []byte, from int) (int, error) {
	for i := from; ; {
		end := bytes.IndexByte(b[i:], '\n')
		if end < 0 {
			return 0, nil
		}
		i += end
		if i == 0 || b[i-1] != '\r' {
			return 0, badRequest("a line that ends in a bare line feed")
		}
		if i >= 3 && b[i-2] == '\n' {
			return i + 1, nil
		}
		i++
	}
}

// ParseRequest parses the whole head of a request, with its empty line, into h, whose Fields are used again. The error is a
// RefusedError. h has then what is known of the request.
func ParseRequest(h *RequestHead, b []byte) error {
	*h = RequestHead{Fields: h.Fields[:0]}
	head := string(b)
	line, section, ok := strings.Cut(head, "\r\n")
	if !ok || len(section) < 2 {
		return badRequest("a head without an end")
	}
	if err := h.parseLine(line); err != nil {
		return err
	}
	if section[0] == ' ' || section[0] == '\t' {
		return badRequest("a header that begins with a folded line")
	}
	if err := h.parseSection(section[:len(section)-2]); err != nil {
		return err
	}
	return h.frame()
}

// ParseRequestLine parses what is known of a request whose head is not whole, or cannot be parsed, into h.
func ParseRequestLine(h *RequestHead, b []byte) {
	*h = RequestHead{Fields: h.Fields[:0]}
	if line, _, ok := bytes.Cut(b, []byte("\r\n")); ok {
		_ = h.parseLine(string(line)) // whoever asks for it has a reason to refuse the request already
	}
}

// parseLine parses a request line (RFC 9112, section 3).
func (h *RequestHead) parseLine(line string) error {
	method, rest, ok := strings.Cut(line, " ")
	target, version, hasVersion := strings.Cut(rest, " ")
	switch {
	case !ok || !request.IsToken(method):
		return badRequest("a request line that begins with no method")
	case !isTarget(target):
		return badRequest("a request line without a target")
	case !hasVersion:
		return badRequest("a request line without a version")
	}
	h.Method, h.Target = method, target
	switch version {
	case "HTTP/1.1":
		h.Minor = 1
	case "HTTP/1.0":
	default:
		if isVersion(version) {
			return refused(http.StatusHTTPVersionNotSupported, "another version than HTTP/1.1 and HTTP/1.0")
		}
		return badRequest("a request line that does not end in a version")
	}
	return nil
}

// isVersion reports whether s is a version of HTTP (RFC 9112, section 2.3).
func isVersion(s string) bool {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	return len(s) == len("HTTP/1.1") && s[:5] == "HTTP/" && digit(s[5]) && s[6] == '.' && digit(s[7])
}

// parseSection parses the lines of the header, none of which may be folded.
func (h *RequestHead) parseSection(section string) error {
	var err error
	h.Fields, err = parseFields(h.Fields, section, MaxFields)
	bad, isMalformed := errors.AsType[*MalformedError](err)
	switch {
	case isMalformed:
		return badRequest(bad.Reason)
	case err != nil:
		return refused(http.StatusRequestHeaderFieldsTooLarge, "too many fields")
	}
	return nil
}

// frame finds out how the body is framed (RFC 9112, section 6.3), and what the other fields say that are about the message
// itself. There may be one Content-Length, of digits alone, or one Transfer-Encoding, which is chunked.
func (h *RequestHead) frame() error {
	lengths, encodings, hosts := 0, 0, 0
	connection := false
	for i := range h.Fields {
		f := &h.Fields[i]
		switch len(f.Name) {
		case len("Host"):
			if strings.EqualFold(f.Name, "Host") {
				hosts++
				h.Host = f.Value
			}
		case len("Expect"):
			if strings.EqualFold(f.Name, "Expect") {
				if !field.Same(f.Value, "100-continue") {
					return refused(http.StatusExpectationFailed, "an expectation other than 100-continue")
				}
				h.Expect = h.Minor > 0
			}
		case len("Connection"):
			connection = connection || strings.EqualFold(f.Name, "Connection")
		case len("Content-Length"):
			if strings.EqualFold(f.Name, "Content-Length") {
				lengths++
				var ok bool
				if h.Length, ok = field.ParseLength(f.Value); !ok {
					return badRequest("a Content-Length that is no number")
				}
			}
		case len("Transfer-Encoding"):
			if strings.EqualFold(f.Name, "Transfer-Encoding") {
				if encodings++; !field.Same(f.Value, "chunked") {
					return badRequest("a Transfer-Encoding other than chunked")
				}
			}
		}
	}
	switch {
	case lengths > 1:
		return badRequest("more than one Content-Length")
	case encodings > 1:
		return badRequest("more than one Transfer-Encoding")
	case lengths > 0 && encodings > 0:
		return badRequest("Content-Length beside Transfer-Encoding")
	case encodings > 0 && h.Minor == 0:
		return badRequest("Transfer-Encoding in HTTP/1.0")
	case hosts > 1:
		return badRequest("more than one Host")
	case hosts == 0 && h.Minor > 0:
		return badRequest("no Host")
	case encodings > 0:
		h.Length = Chunked
	}
	h.Close = h.Minor == 0
	if connection {
		h.Close = h.Fields.HasToken("Connection", "close") || h.Minor == 0 && !h.Fields.HasToken("Connection", "keep-alive")
	}
	return nil
}

const httpsPrefix = "https://"

// ToOriginForm puts a target in absolute-form with https into origin-form, or into asterisk-form for OPTIONS of no path (RFC 9112,
// section 3.2). Its authority has to be what Host names: nobody behind could tell that there were two. Another scheme, or a
// fragment, stays for whoever takes the request to refuse. The error is a RefusedError.
func (h *RequestHead) ToOriginForm() error {
	if len(h.Target) < len(httpsPrefix) || !strings.EqualFold(h.Target[:len(httpsPrefix)], httpsPrefix) {
		return nil
	}
	rest := h.Target[len(httpsPrefix):]
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	if !sameAuthority(authority, h.Host) {
		return badRequest("a target in absolute-form that names another host than Host")
	}
	switch {
	case path == "" && h.Method == http.MethodOptions:
		h.Target = "*"
	case path == "" || path[0] == '?':
		h.Target = "/" + path
	case path[0] == '/':
		h.Target = path
	}
	return nil
}

// sameAuthority reports whether two authorities are well-formed, without user information, and the same: host and port, which
// is 443 where none is named, and a final dot.
func sameAuthority(a, b string) bool {
	a, dotA := request.TrimFinalDot(a)
	b, dotB := request.TrimFinalDot(b)
	hostA, portA, errA := request.ParseAuthority(a)
	hostB, portB, errB := request.ParseAuthority(b)
	return errA == nil && errB == nil && hostA == hostB && cmp.Or(portA, "443") == cmp.Or(portB, "443") && dotA == dotB
}

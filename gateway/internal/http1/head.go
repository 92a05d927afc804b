package http1

import (
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// Lengths of a body that are no number of bytes.
const (
	Chunked    int64 = -1
	UntilClose int64 = -2 // it ends with the connection
)

// Head is the head of an answer.
type Head struct {
	Minor  int // of the version: 0 or 1
	Status int // 100 to 599
	Fields field.List
	Length int64 // of the body in bytes, or Chunked, or UntilClose
	Close  bool  // the connection ends with the answer
}

// HeadEnd is how many bytes of b are a head: up to its empty line, which is included; 0 where there is none yet. The first
// from bytes of b are known not to end one.
func HeadEnd(b []byte, from int) int {
	for i := max(from, 1); i < len(b); i++ {
		if b[i] == '\n' && (b[i-1] == '\n' || b[i-1] == '\r' && i > 1 && b[i-2] == '\n') {
			return i + 1
		}
	}
	return 0
}

// ParseHead parses the whole head of an answer, with its empty line. bodiless says that the request's method allows no body
// (HEAD). Folded lines are unfolded in b.
func ParseHead(b []byte, bodiless bool) (Head, error) {
	line, rest, ok := cutLine(b)
	if !ok {
		return Head{}, malformed("no status line")
	}
	h, err := parseStatusLine(line)
	if err != nil {
		return Head{}, err
	}
	if len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
		return Head{}, malformed("a header that begins with a folded line")
	}
	unfold(rest)
	section := string(rest)
	lines := strings.Count(section, "\n")
	section = strings.TrimSuffix(strings.TrimSuffix(section, "\n"), "\r")
	if h.Fields, err = parseFields(make(field.List, 0, min(lines, MaxFields)+spareFields), section, MaxFields); err != nil {
		return Head{}, err
	}
	if err := h.frame(bodiless); err != nil {
		return Head{}, err
	}
	return h, nil
}

// spareFields is the room for fields that are added to an answer.
const spareFields = 8

// parseStatusLine parses a line as HTTP/1.1 200 OK (RFC 9112, section 4); the reason, and the space before it, may be missing.
func parseStatusLine(line []byte) (Head, error) {
	const status = len("HTTP/1.1 ")
	if len(line) < status+3 || string(line[:7]) != "HTTP/1." || line[7] != '0' && line[7] != '1' || line[8] != ' ' {
		return Head{}, malformed("no status line of HTTP/1.1 or HTTP/1.0")
	}
	h := Head{Minor: int(line[7] - '0')}
	for _, c := range line[status : status+3] {
		if c < '0' || c > '9' {
			return Head{}, malformed("a status that is no number")
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	switch reason := line[status+3:]; {
	case h.Status < 100 || h.Status > 599:
		return Head{}, malformed("the status %03d", h.Status)
	case len(reason) > 0 && reason[0] != ' ':
		return Head{}, malformed("a status of more than three digits")
	case !field.IsValue(reason):
		return Head{}, malformed("a control character in the reason")
	}
	return h, nil
}

// frame finds out how the body is framed (RFC 9112, section 6.3).
func (h *Head) frame(bodiless bool) error {
	length, err := DeclaredLength(h.Fields)
	encodings := h.Fields.Count("Transfer-Encoding")
	switch {
	case err != nil:
		return err
	case encodings > 1, encodings == 1 && !field.Same(h.Fields.Get("Transfer-Encoding"), "chunked"):
		return malformed("a Transfer-Encoding other than chunked")
	case encodings > 0 && length >= 0:
		return malformed("Content-Length beside Transfer-Encoding")
	case encodings > 0 && h.Minor == 0:
		return malformed("Transfer-Encoding in HTTP/1.0")
	}
	if h.Close = h.Fields.HasToken("Connection", "close"); h.Minor == 0 && !h.Close {
		h.Close = !h.Fields.HasToken("Connection", "keep-alive")
	}
	switch {
	case bodiless || !field.AllowsContent(h.Status):
		h.Length = 0
	case encodings > 0:
		h.Length = Chunked
	case length >= 0:
		h.Length = length
	default:
		h.Length, h.Close = UntilClose, true
	}
	return nil
}

// DeclaredLength is what the Content-Lengths of a header say: a number, or a list of the same one (RFC 9110, section 8.6); Chunked
// where there is none. The error is a MalformedError.
func DeclaredLength(header field.List) (int64, error) {
	length, first := Chunked, ""
	for list := range header.Values("Content-Length") {
		for element := range strings.SplitSeq(list, ",") {
			element = request.TrimOWS(element)
			n, ok := field.ParseLength(element)
			switch {
			case !ok:
				return 0, malformed("a Content-Length that is no number")
			case first != "" && element != first:
				return 0, malformed("Content-Lengths that differ")
			}
			length, first = n, element
		}
	}
	return length, nil
}

package http1

import (
	"strconv"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// AppendRequestLine appends the request line (RFC 9112, section 3), and Host. The error is a MalformedError.
func AppendRequestLine(b []byte, method, target, host string) ([]byte, error) {
	if !request.IsToken(method) || !isTarget(target) || !isTarget(host) {
		return nil, malformed("a method, target or host that cannot be written")
	}
	b = append(append(b, method...), ' ')
	b = append(append(b, target...), " HTTP/1.1\r\n"...)
	return AppendField(b, "Host", host)
}

// isTarget reports whether s can stand on a request line: no spaces, no control characters.
func isTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// AppendField appends a field's line. The error is a MalformedError.
func AppendField(b []byte, name, value string) ([]byte, error) {
	if !request.IsToken(name) || !field.IsValue(value) {
		return nil, malformed("a field that cannot be written")
	}
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), '\r', '\n'), nil
}

// AppendFields appends a section: the lines of fields, and an empty one.
func AppendFields(b []byte, fields field.List) ([]byte, error) {
	var err error
	for _, f := range fields {
		if b, err = AppendField(b, f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	return append(b, '\r', '\n'), nil
}

// ChunkPrefix is how many bytes AppendChunkSize writes at most.
const ChunkPrefix = 16 + 2

// AppendChunkSize appends the line before a chunk of so many bytes.
func AppendChunkSize(b []byte, size int) []byte {
	return append(strconv.AppendUint(b, uint64(size), 16), '\r', '\n')
}

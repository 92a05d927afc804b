package client

import (
	"strconv"
	"strings"

	"golang.org/x/net/http2"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// malformed says what is wrong with an answer. It quotes nothing of it.
func malformed(reason string) error { return &http1.MalformedError{Reason: reason} }

// parseHead is the head of an answer, whose names and values the framer has checked (RFC 9113, section 8.2.1). bodiless says that the
// request's method allows no body, and ended that nothing follows.
func parseHead(f *http2.MetaHeadersFrame, bodiless bool) (http1.Head, error) {
	h := http1.Head{Minor: 1}
	switch {
	case f.Truncated || len(f.Fields) > http1.MaxFields:
		return h, http1.ErrTooLong
	case len(f.PseudoFields()) != 1:
		return h, malformed("an answer without a status, or with more than that before its header")
	}
	status := f.PseudoValue("status")
	code, err := strconv.ParseUint(status, 10, 16)
	if err != nil || len(status) != 3 || code < 100 || code > 599 {
		return h, malformed("a status that is none of 100 to 599")
	}
	h.Status = int(code)
	if h.Fields, err = parseFields(f); err != nil {
		return h, err
	}
	if h.Length, err = http1.DeclaredLength(h.Fields); err != nil {
		return h, err
	}
	bodiless = bodiless || !field.AllowsContent(h.Status)
	if bodiless || f.StreamEnded() {
		if !bodiless && h.Length > 0 {
			return h, malformed("a Content-Length of an answer without a body")
		}
		h.Length = 0
	}
	return h, nil
}

// parseFields are the fields of a header or a trailer section. What is about a connection of HTTP/1.1 makes it malformed (RFC 9113, section
// 8.2.2).
func parseFields(f *http2.MetaHeadersFrame) (field.List, error) {
	regular := f.RegularFields()
	fields := make(field.List, len(regular))
	for i, f := range regular {
		if field.IsConnectionSpecific(f.Name) {
			return nil, malformed("a field of HTTP/1.1's connections in HTTP/2")
		}
		fields[i] = field.Field{Name: f.Name, Value: strings.Trim(f.Value, " \t")}
	}
	return fields, nil
}

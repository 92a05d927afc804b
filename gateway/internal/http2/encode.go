package http2

import (
	"strconv"

	"golang.org/x/net/http2/hpack"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// statuses are the statuses of most answers.
var statuses = statusTexts()

func statusTexts() (all [600]string) {
	for status := 100; status < len(all); status++ {
		all[status] = strconv.Itoa(status)
	}
	return all
}

func statusText(status int) string {
	if status < len(statuses) {
		return statuses[status]
	}
	return strconv.Itoa(status)
}

// encode appends a field to the block. c.mu is held.
func (c *conn) encode(f field.Field) {
	// It is written into memory, which does not fail. What differs from answer to answer does not go into the dynamic table, which
	// it would only drive others out of: it is marked as never indexed (RFC 7541, section 6.2.3).
	_ = c.encoder.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value, Sensitive: isVolatile(f.Name)})
}

func isVolatile(name string) bool {
	switch name {
	case "content-length", "etag", "last-modified", "x-request-id", "set-cookie", "location", "traceparent", "ratelimit",
		"content-range", "age":
		return true
	}
	return false
}

// appendFields appends a header block with these fields, and a status where it is not 0, to the output. c.mu is held.
func (c *conn) appendFields(st *stream, status int, fields field.List, endStream bool) {
	c.block.Reset()
	if status != 0 {
		c.encode(field.Field{Name: ":status", Value: statusText(status)})
	}
	for _, f := range fields {
		c.encode(f)
	}
	out := c.output()
	*out = appendBlock(*out, st.id, c.block.Bytes(), endStream)
}

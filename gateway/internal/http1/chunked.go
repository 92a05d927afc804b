package http1

import (
	"bytes"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// maxChunkLine bounds the line before a chunk's data in bytes, with its extensions.
const maxChunkLine = 4 << 10

// maxExcess bounds in bytes what a body consists of besides its data, beyond 16 bytes a chunk and as much again as twice its
// data: extensions carry nothing that is used, and cost time to read.
const maxExcess = 16 << 10

// Chunks reads a chunked body (RFC 9112, section 7.1) from bytes that come in pieces. Its zero value is at the beginning.
type Chunks struct {
	Trailer field.List // once the body has ended

	state     chunkState
	remaining int64 // of the chunk's data
	excess    int64 // as maxExcess counts
	scanned   int   // bytes of the trailer section that do not end it
}

type chunkState uint8

const (
	atSize chunkState = iota
	atData
	atDataEnd
	atTrailer
	atEnd
)

// Done reports whether the body has ended.
func (c *Chunks) Done() bool { return c.state == atEnd }

// Next takes bytes from the beginning of b: n of them, data being those that are the body's. Where n is 0 and there is no error,
// it needs more bytes behind those of b, or the body has ended.
func (c *Chunks) Next(b []byte) (n int, data []byte, err error) {
	for {
		taken, err := 0, error(nil)
		switch c.state {
		case atSize:
			taken, err = c.size(b[n:])
		case atData:
			data = b[n : n+int(min(c.remaining, int64(len(b)-n)))]
			if c.advance(len(data)); len(data) > 0 {
				return n + len(data), data, nil
			}
		case atDataEnd:
			taken, err = c.dataEnd(b[n:])
		case atTrailer:
			taken, err = c.trailer(b[n:])
		case atEnd:
		}
		if err != nil {
			return 0, nil, err
		}
		if n += taken; taken == 0 {
			return n, nil, nil
		}
	}
}

// advance has so many bytes of data pass.
func (c *Chunks) advance(n int) {
	c.remaining -= int64(n)
	if c.remaining == 0 {
		c.state = atDataEnd
	}
}

// size takes a line with the size of a chunk, when it is whole.
func (c *Chunks) size(b []byte) (int, error) {
	end := bytes.IndexByte(b, '\n')
	switch {
	case end < 0 && len(b) > maxChunkLine, end > maxChunkLine:
		return 0, ErrTooLong
	case end < 0:
		return 0, nil
	case end == 0 || b[end-1] != '\r':
		return 0, malformed("a chunk's line that ends in a bare line feed")
	}
	size, err := parseChunkSize(b[:end-1])
	if err != nil {
		return 0, err
	}
	line := int64(end + 1 + 2) // with the line end behind the data
	if c.excess = max(c.excess+line-16-2*min(size, 1<<40), 0); c.excess > maxExcess {
		return 0, ErrTooLong
	}
	if c.remaining, c.state = size, atData; size == 0 {
		c.state = atTrailer
	}
	return end + 1, nil
}

// parseChunkSize parses the size of a chunk, behind which extensions are passed over.
func parseChunkSize(line []byte) (size int64, err error) {
	digits := 0
	for ; digits < len(line); digits++ {
		digit := hexDigit(line[digits])
		if digit < 0 {
			break
		}
		if digits == 16 || size > 1<<58 {
			return 0, malformed("a chunk's size beyond 63 bits")
		}
		size = size<<4 | int64(digit)
	}
	extensions := bytes.TrimLeft(line[digits:], " \t")
	switch {
	case digits == 0 || len(extensions) > 0 && extensions[0] != ';':
		return 0, malformed("a chunk's size that is no number")
	case !field.IsValue(extensions):
		return 0, malformed("a control character in a chunk's extension")
	}
	return size, nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// dataEnd takes the line end behind a chunk's data.
func (c *Chunks) dataEnd(b []byte) (int, error) {
	switch {
	case len(b) > 0 && b[0] != '\r', len(b) > 1 && b[1] != '\n':
		return 0, malformed("a chunk that is longer than its size")
	case len(b) < 2:
		return 0, nil
	}
	c.state = atSize
	return 2, nil
}

// trailer takes the trailer section with its empty line, when it is whole.
func (c *Chunks) trailer(b []byte) (int, error) {
	if len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		c.state = atEnd
		return 2, nil
	}
	end := HeadEnd(b, c.scanned)
	switch {
	case end > MaxTrailerBytes, end == 0 && len(b) > MaxTrailerBytes:
		return 0, ErrTooLong
	case end == 0:
		c.scanned = len(b)
		return 0, nil
	}
	section := b[:end]
	for i, b := range section {
		if b == '\n' && (i == 0 || section[i-1] != '\r') {
			return 0, malformed("a trailer line that ends in a bare line feed")
		}
	}
	fields, err := parseFields(nil, string(section[:end-2]), maxTrailers)
	if err != nil {
		return 0, err
	}
	c.Trailer, c.state = fields, atEnd
	return end, nil
}

package http1

import (
	"errors"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// readChunks reads a chunked body that comes in pieces of so many bytes, and returns what is behind it.
func readChunks(wire string, piece int) (body, rest string, trailer field.List, err error) {
	var c Chunks
	var held []byte
	for {
		n, data, err := c.Next(held)
		if err != nil {
			return body, "", nil, err
		}
		body += string(data)
		held = held[n:]
		switch {
		case c.Done():
			return body, string(held) + wire, c.Trailer, nil
		case len(data) > 0:
			continue
		case wire == "":
			return body, "", nil, errCut
		}
		next := min(piece, len(wire))
		held = append(held, wire[:next]...)
		wire = wire[next:]
	}
}

var errCut = errors.New("cut off")

func TestChunks(t *testing.T) {
	for wire, want := range map[string]string{
		"0\r\n\r\n":               "",
		"5\r\nhello\r\n0\r\n\r\n": "hello",

		"5 ;a=b;c=\"d e\"\r\nhello\r\n00\r\n\r\n":            "hello",
		"3\t\r\nhel\r\n2\r\nlo\r\n0\r\nX-A: b\r\nY:\r\n\r\n": "hello",
		"000000000000000A\r\n0123456789\r\n0\r\n\r\n":        "0123456789",
	} {
		for piece := 1; piece <= len(wire); piece++ {
			body, rest, _, err := readChunks(wire+"behind", piece)
			if err != nil || body != want || rest != "behind" {
				t.Fatalf("%q in pieces of %d: %q, then %q, %v", wire, piece, body, rest, err)
			}
		}
	}
	if _, _, trailer, err := readChunks("0\r\nx-A: b \r\nY:\r\n\r\n", 1); err != nil || len(trailer) != 2 || trailer[0] != (field.Field{Name: "x-A", Value: "b"}) {
		t.Errorf("trailers %q, %v", trailer, err)
	}
	var small strings.Builder
	for range 10_000 {
		small.WriteString("1\r\nx\r\n")
	}
	if body, _, _, err := readChunks(small.String()+"0\r\n\r\n", 4096); err != nil || len(body) != 10_000 {
		t.Errorf("%d bytes of chunks of one each, %v", len(body), err)
	}
}

func TestRefusedChunks(t *testing.T) {
	for name, wire := range map[string]string{
		"no number":                      "x\r\nhello\r\n",
		"nothing":                        "\r\nhello\r\n",
		"a sign":                         "+5\r\nhello\r\n",
		"a prefix":                       "0x5\r\nhello\r\n",
		"a space before":                 " 5\r\nhello\r\n",
		"an underscore":                  "1_0\r\nhello\r\n",
		"17 digits":                      "00000000000000005\r\nhello\r\n",
		"64 bits":                        "FFFFFFFFFFFFFFFF\r\nhello\r\n",
		"a bare line feed":               "5\nhello\r\n0\r\n\r\n",
		"a bare line feed in extensions": "5;a\nhello\r\n0\r\n\r\n",
		"a carriage return in them":      "5;a\rb\r\nhello\r\n",
		"no semicolon":                   "5 a\r\nhello\r\n",
		"longer than its size":           "4\r\nhello\r\n",
		"a bare line feed behind it":     "5\r\nhello\n0\r\n\r\n",
		"a carriage return alone":        "5\r\nhello\rx",
		"a bare line feed in trailers":   "0\r\nX: a\n\r\n",
		"a folded trailer":               "0\r\nX: a\r\n b\r\n\r\n",
		"a trailer without a colon":      "0\r\nX\r\n\r\n",
		"a line too long":                "5;" + strings.Repeat("a", maxChunkLine) + "\r\nhello\r\n",
		"a line without an end":          "5;" + strings.Repeat("a", maxChunkLine),
		"too long a trailer section":     "0\r\nX: " + strings.Repeat("a", MaxTrailerBytes) + "\r\n\r\n",
		"too many trailers":              "0\r\n" + strings.Repeat("X: a\r\n", maxTrailers+1) + "\r\n",
		"nothing but extensions":         strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 100),
	} {
		for _, piece := range []int{1, 7, len(wire)} {
			if body, _, _, err := readChunks(wire, piece); err == nil || errors.Is(err, errCut) {
				t.Errorf("%s, in pieces of %d: %d bytes, %v", name, piece, len(body), err)
			}
		}
	}
	for _, cut := range []string{"", "5", "5\r\n", "5\r\nhell", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n", "0\r\nX: a\r\n"} {
		if _, _, _, err := readChunks(cut, 3); !errors.Is(err, errCut) {
			t.Errorf("%q: %v", cut, err)
		}
	}
}

package http1

import (
	"errors"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// parse parses one head, written with \n for each line end.
func parse(text string, bodiless bool) (Head, error) {
	b := []byte(strings.ReplaceAll(text, "\n", "\r\n"))
	if HeadEnd(b, 0) != len(b) {
		return Head{}, errors.New("that is no one head")
	}
	return ParseHead(b, bodiless)
}

func TestFramingOfAnswers(t *testing.T) {
	for text, want := range map[string]struct {
		length  int64
		close   bool
		without bool // the request was HEAD
	}{
		"HTTP/1.1 200 OK\nContent-Length: 5\n\n":                                {length: 5},
		"HTTP/1.1 200\nContent-Length: 5\n\n":                                   {length: 5},
		"HTTP/1.1 200 \ncontent-length:5\t\n\n":                                 {length: 5},
		"HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5\n\n":             {length: 5},
		"HTTP/1.1 200 OK\nContent-Length: 5, 5\n\n":                             {length: 5},
		"HTTP/1.1 200 OK\nContent-Length: 5\nConnection: x, Close\n\n":          {length: 5, close: true},
		"HTTP/1.1 200 OK\nTransfer-Encoding: Chunked\n\n":                       {length: Chunked},
		"HTTP/1.1 200 OK\n\n":                                                   {length: UntilClose, close: true},
		"HTTP/1.0 200 OK\nContent-Length: 5\n\n":                                {length: 5, close: true},
		"HTTP/1.0 200 OK\nContent-Length: 5\nConnection: keep-alive\n\n":        {length: 5},
		"HTTP/1.0 200 OK\nConnection: keep-alive\n\n":                           {length: UntilClose, close: true},
		"HTTP/1.1 204 No Content\n\n":                                           {},
		"HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n":                      {},
		"HTTP/1.1 103 Early Hints\nLink: </x>\n\n":                              {},
		"HTTP/1.1 200 OK\nContent-Length: 6\n\n":                                {without: true},
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n":                       {length: Chunked},
		"HTTP/1.1 200 OK\nContent-Length: 999999999999999999\nX: a\n b\n\n":     {length: 999999999999999999},
		"HTTP/1.1 200 OK\nContent-Length: 0\nServer: ümläut \xff\n\n":           {},
		"HTTP/1.1 200 ü\xff (fine)\nContent-Length: 0\nX-Empty:\nX-Tab:\ta\n\n": {},
	} {
		h, err := parse(text, want.without)
		if err != nil || h.Length != want.length || h.Close != want.close {
			t.Errorf("%q: length %d, close %v, %v", text, h.Length, h.Close, err)
		}
	}
}

func TestRefusedAnswers(t *testing.T) {
	ok := "HTTP/1.1 200 OK\n"
	for name, text := range map[string]string{
		"no version":                    "200 OK\n\n",
		"another protocol":              "ICY 200 OK\n\n",
		"lower case":                    "http/1.1 200 OK\n\n",
		"HTTP/2":                        "HTTP/2.0 200 OK\n\n",
		"HTTP/1.2":                      "HTTP/1.2 200 OK\n\n",
		"HTTP/0.9":                      "HTTP/0.9 200 OK\n\n",
		"HTTP/11":                       "HTTP/1.11 200 OK\n\n",
		"a space before":                " HTTP/1.1 200 OK\n\n",
		"two spaces":                    "HTTP/1.1  200 OK\n\n",
		"a tab":                         "HTTP/1.1\t200 OK\n\n",
		"status 099":                    "HTTP/1.1 099 Odd\n\n",
		"status 000":                    "HTTP/1.1 000 Odd\n\n",
		"status 600":                    "HTTP/1.1 600 Odd\n\n",
		"status 999":                    "HTTP/1.1 999 Odd\n\n",
		"status of two digits":          "HTTP/1.1 20 OK\n\n",
		"status of four digits":         "HTTP/1.1 2000 OK\n\n",
		"a signed status":               "HTTP/1.1 +20 OK\n\n",
		"no status":                     "HTTP/1.1 \n\n",
		"a control in the reason":       "HTTP/1.1 200 O\x00K\n\n",
		"a carriage return in it":       "HTTP/1.1 200 O\rK\n\n",
		"no colon":                      ok + "Nothing\n\n",
		"no name":                       ok + ": nothing\n\n",
		"a space before the colon":      ok + "Content-Length : 5\n\n",
		"a space in a name":             ok + "Content Length: 5\n\n",
		"a control in a name":           ok + "X\x01: 5\n\n",
		"a letter of two bytes":         ok + "Ü: 5\n\n",
		"NUL in a value":                ok + "X: a\x00b\n\n",
		"a carriage return in a value":  ok + "X: a\rb\n\n",
		"DEL in a value":                ok + "X: a\x7fb\n\n",
		"a folded first line":           ok + " X: a\n\n",
		"no length":                     ok + "Content-Length:\n\n",
		"lengths that differ":           ok + "Content-Length: 5\nContent-Length: 6\n\n",
		"a list that differs":           ok + "Content-Length: 5, 6\n\n",
		"a list with nothing":           ok + "Content-Length: 5,\n\n",
		"a sign":                        ok + "Content-Length: +5\n\n",
		"a negative length":             ok + "Content-Length: -5\n\n",
		"a hexadecimal length":          ok + "Content-Length: 0x5\n\n",
		"a length of 20 digits":         ok + "Content-Length: 99999999999999999999\n\n",
		"a folded length":               ok + "Content-Length: 1\n 2\n\n",
		"gzip":                          ok + "Transfer-Encoding: gzip\n\n",
		"gzip, chunked":                 ok + "Transfer-Encoding: gzip, chunked\n\n",
		"chunked twice":                 ok + "Transfer-Encoding: chunked, chunked\n\n",
		"two Transfer-Encodings":        ok + "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n",
		"identity":                      ok + "Transfer-Encoding: identity\n\n",
		"an empty Transfer-Encoding":    ok + "Transfer-Encoding:\n\n",
		"chunked by its fold":           ok + "Transfer-Encoding: chun\u212aed\n\n",
		"chunked with a parameter":      ok + "Transfer-Encoding: chunked;a=b\n\n",
		"a folded Transfer-Encoding":    ok + "Transfer-Encoding: chun\n ked\n\n",
		"both":                          ok + "Transfer-Encoding: chunked\nContent-Length: 5\n\n",
		"both the other way":            ok + "Content-Length: 5\nTransfer-Encoding: chunked\n\n",
		"both, of HEAD alike":           "HTTP/1.1 304 Not Modified\nContent-Length: 5\nTransfer-Encoding: chunked\n\n",
		"Transfer-Encoding in HTTP/1.0": "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n",
		"too many fields":               ok + strings.Repeat("X: a\n", MaxFields+1) + "\n",
	} {
		if h, err := parse(text, false); err == nil || err.Error() == "that is no one head" {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

func TestFieldsAsTheyCame(t *testing.T) {
	b := []byte("HTTP/1.1 200 OK\nx-B:  one \r\nX-a: two\r\n\tthree\nx-B:\r\n\r\nrest")
	end := HeadEnd(b, 0)
	if string(b[end:]) != "rest" {
		t.Fatalf("the head ends at %d", end)
	}
	for from := range end {
		if got := HeadEnd(b, from); got != end {
			t.Errorf("looked for from %d, the head ends at %d", from, got)
		}
	}
	h, err := ParseHead(b[:end], false)
	want := field.List{{Name: "x-B", Value: "one"}, {Name: "X-a", Value: "two  \tthree"}, {Name: "x-B"}}
	if err != nil || len(h.Fields) != len(want) {
		t.Fatalf("%q, %v", h.Fields, err)
	}
	for i, f := range h.Fields {
		if f != want[i] {
			t.Errorf("field %d is %q, want %q", i, f, want[i])
		}
	}
}

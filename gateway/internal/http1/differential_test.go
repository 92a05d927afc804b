package http1

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// answers are the beginnings of mutations, and the seeds of FuzzAnswer.
var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: a\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
	"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nnothing here",
	"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 204 No Content\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\n\r\n",
	"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\nX-Long: a\r\n b\r\n\r\nhello",
}

// readOurs reads one answer from all of wire.
func readOurs(wire string) (h Head, body string, err error) {
	b := []byte(wire)
	end := HeadEnd(b, 0)
	if end == 0 {
		return Head{}, "", errCut
	}
	if h, err = ParseHead(b[:end], false); err != nil {
		return h, "", err
	}
	rest := wire[end:]
	switch h.Length {
	case Chunked:
		body, _, _, err = readChunks(rest, len(rest)+1)
		return h, body, err
	case UntilClose:
		return h, rest, nil
	}
	if int64(len(rest)) < h.Length {
		return h, rest, errCut
	}
	return h, rest[:h.Length], nil
}

// readTheirs reads it as net/http does.
func readTheirs(wire string) (status int, header http.Header, body string, err error) {
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(wire)), nil)
	if err != nil {
		return 0, nil, "", err
	}
	read, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(read), err
}

// alsoOurs says why we take what net/http does not; "" where that is a fault.
func alsoOurs(wire string, theirs error) string {
	said := theirs.Error()
	switch {
	case strings.Contains(said, "bad Content-Length") && strings.Contains(wire, ","):
		return "a list of the same length is that length (RFC 9110, section 8.6)"
	case strings.Contains(said, "bad trailer key"):
		return "the gateway drops such trailers, announced or not"
	case strings.Contains(said, "http: suspiciously long trailer"), strings.Contains(said, "http: unexpected EOF reading trailer"):
		return "net/http's trailers end with its buffer"
	}
	return ""
}

// compare reports how two readings of an answer differ, where we take it.
func compare(t *testing.T, wire string) {
	t.Helper()
	h, body, err := readOurs(wire)
	if err != nil {
		return // strictness alone is no fault
	}
	status, header, theirs, err := readTheirs(wire)
	if err != nil {
		if alsoOurs(wire, err) == "" {
			t.Errorf("%q: taken as %d %q, and refused by net/http: %v", wire, h.Status, body, err)
		}
		return
	}
	if status != h.Status || theirs != body {
		t.Errorf("%q: %d %q, and %d %q by net/http", wire, h.Status, body, status, theirs)
	}
	for name, values := range header {
		var ours []string
		for _, f := range h.Fields {
			if http.CanonicalHeaderKey(f.Name) == name {
				ours = append(ours, strings.Join(strings.Fields(f.Value), " "))
			}
		}
		for i := range values {
			values[i] = strings.Join(strings.Fields(values[i]), " ")
		}
		if name == "Content-Length" || name == "Cache-Control" { // which net/http writes anew
			continue
		}
		if !slices.Equal(ours, values) {
			t.Errorf("%q: %s is %q, and %q by net/http", wire, name, ours, values)
		}
	}
}

// TestAnswersAreReadAsNetHTTPReadsThem, or refused: what another reader takes for the end of an answer, or for a field of
// it, is that here.
func TestAnswersAreReadAsNetHTTPReadsThem(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"\r", "\n", "\r\n", " ", "\t", ":", ",", ";", "0", "5", "f", "-", "+", "\x00", "\x7f", "\xff", "chunked", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "\r\n\r\n", "0\r\n\r\n", "HTTP/1.1 200 OK\r\n", "Connection: close\r\n", " folded\r\n"}
	for range 30_000 {
		b := []byte(answers[random.IntN(len(answers))])
		for range 1 + random.IntN(4) {
			at := random.IntN(len(b))
			switch piece := pieces[random.IntN(len(pieces))]; random.IntN(4) {
			case 0:
				b = slices.Insert(b, at, []byte(piece)...)
			case 1:
				b = append(b[:at:at], append([]byte(piece), b[min(at+len(piece), len(b)):]...)...)
			case 2:
				b = append(b[:at:at], b[min(at+1+random.IntN(4), len(b)):]...)
			case 3:
				b[at] = byte(random.IntN(256))
			}
			if len(b) == 0 {
				b = []byte("H")
			}
		}
		compare(t, string(b))
		if t.Failed() {
			return
		}
	}
}

// FuzzAnswer: whatever comes, nothing breaks, and what is taken is what net/http takes.
func FuzzAnswer(f *testing.F) {
	for _, wire := range answers {
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire string) { compare(t, wire) })
}

// FuzzChunks: a body is the same in pieces of any size, and its rest is what is behind it.
func FuzzChunks(f *testing.F) {
	for _, wire := range answers {
		if _, body, ok := strings.Cut(wire, "\r\n\r\n"); ok {
			f.Add(body, 3)
		}
	}
	f.Fuzz(func(t *testing.T, wire string, piece int) {
		body, rest, _, err := readChunks(wire, len(wire)+1)
		again, restAgain, _, errAgain := readChunks(wire, max(piece, 1))
		if (err == nil) != (errAgain == nil) || err == nil && (body != again || rest != restAgain) {
			t.Errorf("%q: %q and %q, %v; in pieces of %d %q and %q, %v", wire, body, rest, err, piece, again, restAgain, errAgain)
		}
		if err == nil && !bytes.HasSuffix([]byte(wire), []byte(rest)) {
			t.Errorf("%q: the rest is %q", wire, rest)
		}
	})
}

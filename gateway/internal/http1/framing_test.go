package http1

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/gateway/corpus"
	"github.com/viloforge/vilogate/policies/request"
)

// follow follows the requests in data as a server does, and returns how many bytes of them are whole, and why no more is.
func follow(data []byte) (end int, heads []RequestHead, err error) {
	for end < len(data) {
		rest := data[end:]
		if bytes.HasPrefix(rest, []byte("\r\n")) {
			rest = rest[2:]
		}
		n, err := RequestEnd(rest, 0)
		if err != nil || n == 0 {
			return end, heads, err
		}
		var h RequestHead
		if err := ParseRequest(&h, rest[:n]); err != nil {
			return end, heads, err
		}
		if err := h.ToOriginForm(); err != nil {
			return end, heads, err
		}
		rest = rest[n:]
		if h.Length == Chunked {
			if rest, err = followChunks(rest); err != nil || rest == nil {
				return end, heads, err
			}
		} else {
			if int64(len(rest)) < h.Length {
				return end, heads, nil
			}
			rest = rest[h.Length:]
		}
		end = len(data) - len(rest)
		heads = append(heads, h)
	}
	return end, heads, nil
}

// followChunks is what is behind a chunked body, nil where that is not whole.
func followChunks(b []byte) ([]byte, error) {
	var c Chunks
	for {
		n, _, err := c.Next(b)
		switch b = b[n:]; {
		case err != nil:
			return nil, err
		case c.Done():
			return b, nil
		case n == 0:
			return nil, nil
		}
	}
}

func TestFramingThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	const start = "POST / HTTP/1.1\r\nHost: a\r\n"
	for name, message := range map[string]string{
		"length and coding":       start + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"coding and length":       start + "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
		"two lengths":             start + "Content-Length: 1\r\nContent-Length: 1\r\n\r\n",
		"length with a sign":      start + "Content-Length: +1\r\n\r\n",
		"length in hexadecimal":   start + "Content-Length: 0x1\r\n\r\n",
		"list of lengths":         start + "Content-Length: 1, 1\r\n\r\n",
		"no length":               start + "Content-Length:\r\n\r\n",
		"length beyond counting":  start + "Content-Length: 99999999999999999999\r\n\r\n",
		"long length":             start + "Content-Length: " + strings.Repeat("0", 80) + "1\r\n\r\n",
		"two codings":             start + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		"coding by its fold":      start + "Transfer-Encoding: chun\u212aed\r\n\r\n0\r\n\r\n",
		"coding twice":            start + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		"another coding":          start + "Transfer-Encoding: identity\r\n\r\n",
		"coding in HTTP/1.0":      "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
		"folded line":             start + "X-A: b\r\n c\r\n\r\n",
		"folded first line":       "POST / HTTP/1.1\r\n Host: a\r\n\r\n",
		"bare LF":                 start + "X-A: b\nX-B: c\r\n\r\n",
		"bare LF at the end":      start + "\n",
		"bare CR":                 start + "X-A: b\rX-B: c\r\n\r\n",
		"HTTP/1.2":                "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
		"HTTP/0.9":                "GET /\r\n\r\n",
		"chunk without a size":    start + "Transfer-Encoding: chunked\r\n\r\nx\r\n",
		"chunk with a sign":       start + "Transfer-Encoding: chunked\r\n\r\n+1\r\n",
		"chunk with a bare LF":    start + "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
		"chunk longer than said":  start + "Transfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
		"folded trailer":          start + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n c\r\n\r\n",
		"behind a good one":       start + "Content-Length: 1\r\n\r\nxGET / HTTP/1.1\nHost: a\r\n\r\n",
		"behind a good chunk":     start + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\nHost: a\r\n\r\n",
		"behind a good trailer":   start + "Transfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\nGET / HTTP/1.1\nHost: a\r\n\r\n",
		"an empty line first":     start + "Content-Length: 0\r\n\r\n\r\nGET / HTTP/1.2\r\nHost: a\r\n\r\n",
		"length, a tab before it": start + "Content-Length:\t1\r\nContent-Length: 1\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if n, _, err := follow([]byte(message)); err == nil {
				t.Errorf("%d bytes of %q are beyond doubt", n, message)
			}
		})
	}
}

// TestAbsoluteFormNamesWhatHostNames: net/http forgets Host for the target's host, so that the two are compared before.
func TestAbsoluteFormNamesWhatHostNames(t *testing.T) {
	long := strings.Repeat("a", 60)
	long = strings.Repeat(long+".", 4) + "example"
	for _, c := range []struct {
		target, header string
		good           bool
	}{
		{"https://a.example/x", "Host: a.example", true},
		{"https://a.example", "Host: a.example", true},
		{"https://a.example?x", "Host: a.example", true},
		{"https://a.example#x", "Host: a.example", true}, // for the handler to refuse
		{"HTTPS://A.Example/x", "hOST:\ta.example ", true},
		{"https://a.example:443/x", "Host: a.example", true},
		{"https://a.example/x", "Host: a.example:443", true},
		{"https://a.example:8443/x", "Host: a.example:8443", true},
		{"https://a.example./x", "Host: a.example.", true},
		{"https://[::1]:8443/x", "Host: [::1]:8443", true},
		{"https://" + long + ":65535/x", "X-A: b\r\nHost: " + long + ":65535", true},
		{"https://a.example/" + strings.Repeat("x", 9000), "Host: a.example\r\nCookie: " + strings.Repeat("x", 9000), true},
		{"http://b.example/x", "Host: a.example", true}, // as any other scheme
		{"https:/b.example/x", "Host: a.example", true},
		{"/https://b.example/x", "Host: a.example", true},
		{"https://b.example/x", "Host: a.example", false},
		{"https://a.example/x", "Host: b.example", false},
		{"https://a.example/x", "X-Host: a.example", false},
		{"https://a.example/x", "Host:", false},
		{"https://a.example/x", "Host: a.example\r\nHost: a.example", false},
		{"https://a.example/x", "Host: b.example\r\nHost: a.example", false},
		{"https://a.example/x", "Host: a.example, b.example", false},
		{"https://a.example:8443/x", "Host: a.example", false},
		{"https://a.example/x", "Host: a.example:8443", false},
		{"https://a.example:80/x", "Host: a.example", false},
		{"https://a.example./x", "Host: a.example", false},
		{"https://a.example/x", "Host: a.example.", false},
		{"https://a.example../x", "Host: a.example..", false},
		{"https://a.example:/x", "Host: a.example:", false},
		{"https://a.example:0443/x", "Host: a.example:0443", false},
		{"https://u@a.example/x", "Host: a.example", false},
		{"https://u@a.example/x", "Host: u@a.example", false},
		{"https://u:p@a.example/x", "Host: a.example", false},
		{"https://a.example@b.example/x", "Host: b.example", false},
		{"https://%61.example/x", "Host: a.example", false},
		{"https://a.example\\@b.example/x", "Host: a.example", false},
		{"https:///x", "Host: a.example", false},
		{"https://", "Host: a.example", false},
		{"https://?x", "Host:", false},
		{"https://a_b.example/x", "Host: a_b.example", false},
		{"https://" + strings.Repeat("a.", 300) + "example/x", "Host: a.example", false},
		{"https://a.example/x", "Host: " + strings.Repeat(" ", 600) + "a.example", true},
	} {
		for _, method := range []string{"GET", "OPTIONS", strings.Repeat("M", 600)} {
			message := method + " " + c.target + " HTTP/1.1\r\n" + c.header + "\r\n\r\n"
			_, heads, err := follow([]byte(message + "GET / HTTP/1.1\r\nHost: b\r\n\r\n"))
			if want := c.good; want != (err == nil) {
				t.Errorf("%.80q, %.80q by %.10s: %v", c.target, c.header, method, err)
			}
			if c.good && len(heads) != 2 {
				t.Errorf("%.80q, %.80q by %.10s: %d requests", c.target, c.header, method, len(heads))
			}
		}
	}
	if _, _, err := follow([]byte("GET https://a.example/ HTTP/1.0\r\n\r\n")); err == nil {
		t.Error("HTTP/1.0 without Host")
	}
	trailer := "POST https://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n%s\r\n0\r\nHost: a.example\r\n\r\n"
	for header, good := range map[string]bool{"": false, "Host: a.example\r\n": true} {
		if _, _, err := follow([]byte(strings.Replace(trailer, "%s", header, 1))); good != (err == nil) {
			t.Errorf("Host in the trailer, %q in the header: %v", header, err)
		}
	}
}

func TestWhatBrowsersSendIsLetThrough(t *testing.T) {
	messages := "GET / HTTP/1.1\r\nHost: a\r\nCookie: " + strings.Repeat("x", 9000) + "\r\n\r\n" +
		"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 5\r\n\r\n\n\n\r\rx" +
		"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n5;name=\"v\"\r\n\n\n\r\rx\r\nA \r\n0123456789\r\n000\r\nX-Sum: 1\r\n\r\n" +
		"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n" +
		"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
	if n, heads, err := follow([]byte(messages)); err != nil || n != len(messages) || len(heads) != 5 {
		t.Errorf("%v after %q", err, messages[:n])
	}
}

// FuzzFraming holds what is let through against net/http: both find the same messages.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\r\nGET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Add([]byte("GET https://a/x HTTP/1.1\r\nHost: a\r\n\r\nGET HTTPS://b:443?x HTTP/1.1\r\nHost: B\r\n\r\n"))
	inputs := corpus.New(1, "a")
	for range corpus.Fixed() {
		f.Add(inputs.Next())
	}
	f.Fuzz(func(t *testing.T, data []byte) { compareRequests(t, data) })
}

// TestRequestsAreReadAsNetHTTPReadsThem, or refused.
func TestRequestsAreReadAsNetHTTPReadsThem(t *testing.T) {
	size := 50_000
	if text := os.Getenv("VILOGATE_CORPUS"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	inputs := corpus.New(1, "app.example.test")
	accepted := 0
	for range size {
		accepted += compareRequests(t, inputs.Next())
	}
	if accepted < size/4 {
		t.Errorf("of %d inputs %d requests are accepted", size, accepted)
	}
}

// compareRequests reports how two readings of requests differ, as far as we take them, and how many we do.
func compareRequests(t *testing.T, data []byte) int {
	t.Helper()
	whole, heads, _ := follow(data)
	reader := bufio.NewReader(bytes.NewReader(data[:whole]))
	for i, h := range heads {
		for { // an empty line before a request, which is the server's to take
			line, err := reader.Peek(2)
			if err != nil || string(line) != "\r\n" {
				break
			}
			_, _ = reader.Discard(2)
		}
		r, err := http.ReadRequest(reader)
		if err != nil {
			if alsoOurRequest(&h, err) == "" {
				t.Errorf("request %d of %q: taken, and refused by net/http: %v", i, data, err)
			}
			return len(heads)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			if alsoOurs(string(data), err) == "" && !(strings.Contains(err.Error(), "invalid byte in chunk length") && spaceBeforeExtension.Match(data)) {
				t.Errorf("net/http does not take the body of request %d of %q: %v", i, data, err)
			}
			return len(heads)
		}
		if r.Method != h.Method || r.ContentLength != h.Length || r.Close != h.Close || r.ProtoMinor != h.Minor {
			t.Errorf("net/http reads %s with %d bytes (closing %v), instead of %s with %d (%v), in %q", r.Method, r.ContentLength, r.Close, h.Method, h.Length, h.Close, data)
		}
		compareFields(t, data, &h, r)
	}
	if rest, err := io.ReadAll(reader); err != nil || len(bytes.TrimLeft(rest, "\r\n")) > 0 {
		t.Errorf("net/http leaves %q of %q", rest, data)
	}
	return len(heads)
}

// compareFields compares names, values and their order.
func compareFields(t *testing.T, data []byte, h *RequestHead, r *http.Request) {
	t.Helper()
	ours := http.Header{}
	for _, f := range h.Fields {
		switch name := http.CanonicalHeaderKey(f.Name); name {
		case "Host", "Transfer-Encoding", "Content-Length", "Trailer", "Cache-Control", "Pragma": // which net/http takes out or writes anew
		default:
			ours[name] = append(ours[name], f.Value)
		}
	}
	for _, name := range []string{"Content-Length", "Trailer", "Cache-Control", "Pragma"} {
		delete(r.Header, name)
	}
	if !maps.EqualFunc(ours, r.Header, slices.Equal[[]string]) {
		t.Errorf("the fields %q are %q to net/http, in %q", ours, r.Header, data)
	}
	if host := strings.ToLower(r.Host); host != strings.ToLower(h.Host) && r.URL.Host == "" {
		t.Errorf("the host %q is %q to net/http, in %q", h.Host, r.Host, data)
	}
}

// spaceBeforeExtension is what RFC 9112 allows behind a chunk's size (section 7.1.1), and net/http does not.
var spaceBeforeExtension = regexp.MustCompile("[0-9A-Fa-f][ \t]+;")

// alsoOurRequest says why we take what net/http does not; "" where that is a fault.
func alsoOurRequest(h *RequestHead, theirs error) string {
	if _, err := request.Canonicalise(h.Method, h.Host, h.Target); err != nil {
		return "it is for the gateway to refuse, which makes host and target canonical: " + err.Error()
	}
	if strings.Contains(theirs.Error(), "bad trailer key") {
		return "the gateway drops such trailers, announced or not"
	}
	return ""
}

func BenchmarkParseRequest(b *testing.B) {
	message := []byte("GET /service-7/1/items/a/b?page=2 HTTP/1.1\r\nHost: app.viloforge.com\r\nAccept: */*\r\nCookie: __Secure-sso=" + strings.Repeat("x", 600) + "\r\n\r\n")
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	var h RequestHead
	for b.Loop() {
		if n, err := RequestEnd(message, 0); err != nil || n != len(message) {
			b.Fatal(err)
		}
		if err := ParseRequest(&h, message); err != nil {
			b.Fatal(err)
		}
	}
}

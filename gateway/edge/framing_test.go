package edge

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

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
			var whole, piecewise framing
			if n, err := whole.feed([]byte(message)); err == nil {
				t.Errorf("%d bytes of %q are beyond doubt", n, message)
			}
			good := 0
			for i := range len(message) {
				n, err := piecewise.feed([]byte{message[i]})
				if good += n; err != nil {
					break
				}
			}
			again := new(framing)
			if n, _ := again.feed([]byte(message)); n != good {
				t.Errorf("as a whole %d bytes are good, byte by byte %d", n, good)
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
		{"https://a.example/x", "Host: " + strings.Repeat(" ", 600) + "a.example", false},
	} {
		for method, method1 := range map[string]bool{"GET": true, "OPTIONS": true, strings.Repeat("M", 505): false, strings.Repeat("M", 600): false} {
			message := method + " " + c.target + " HTTP/1.1\r\n" + c.header + "\r\n\r\n"
			var f framing
			_, err := f.feed([]byte(message))
			if want := c.good && method1; want != (err == nil) {
				t.Errorf("%.80q, %.80q by %.10s: %v", c.target, c.header, method, err)
			}
			if next := "GET / HTTP/1.1\r\nHost: b\r\n\r\n"; err == nil {
				if _, err := f.feed([]byte(next)); err != nil || f.authority != "" {
					t.Errorf("a request behind %q: %v", c.target, err)
				}
			}
		}
	}
	var f framing
	if _, err := f.feed([]byte("GET https://a.example/ HTTP/1.0\r\n\r\n")); err == nil {
		t.Error("HTTP/1.0 without Host")
	}
	trailer := "POST https://a.example/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n%s\r\n0\r\nHost: a.example\r\n\r\n"
	for header, good := range map[string]bool{"": false, "Host: a.example\r\n": true} {
		f = framing{}
		if _, err := f.feed([]byte(strings.Replace(trailer, "%s", header, 1))); good != (err == nil) {
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
	var f framing
	if n, err := f.feed([]byte(messages)); err != nil || f.state != inRequestLine {
		t.Errorf("%v after %q", err, messages[:n])
	}
}

// FuzzFraming holds what is let through against net/http: both find the same
// messages.
func FuzzFraming(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: b\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\r\nGET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"))
	f.Add([]byte("GET https://a/x HTTP/1.1\r\nHost: a\r\n\r\nGET HTTPS://b:443?x HTTP/1.1\r\nHost: B\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var mine framing
		if _, err := mine.feed(data); err != nil {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(data))
		end := 0 // of the messages that net/http has read
		for {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			rest, err := io.ReadAll(reader)
			if err != nil {
				t.Fatal(err)
			}
			from := end
			end = len(data) - len(rest)
			if isHTTPS(r.RequestURI) {
				var host framing // up to the end of the header, in which the authority stays
				if _, err := host.feed(data[from:end]); err != nil || host.authority != r.Host {
					t.Fatalf("net/http takes %q for the host of %q, %v", r.Host, data[from:end], err)
				}
			}
			var again framing
			if n, err := again.feed(data[:end]); err != nil || n != end || again.state != inRequestLine || again.length != 0 {
				t.Fatalf("net/http ends a message after %q; the framing is in state %d", data[:end], again.state)
			}
			reader = bufio.NewReader(bytes.NewReader(rest))
		}
	})
}

func BenchmarkFraming(b *testing.B) {
	message := []byte("GET /service-7/1/items/a/b?page=2 HTTP/1.1\r\nHost: app.viloforge.com\r\nAccept: */*\r\nCookie: __Secure-sso=" + strings.Repeat("x", 600) + "\r\n\r\n")
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	var f framing
	for b.Loop() {
		if _, err := f.feed(message); err != nil {
			b.Fatal(err)
		}
	}
}

package edge

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestPlainHTTPRedirectsWhatIsServed(t *testing.T) {
	t.Parallel()
	const www = "www." + domain
	for port, authority := range map[int]string{443: www, 8443: www + ":8443"} {
		s := start(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was asked") }, func(o *Options) { o.PublicPort = port })
		for _, row := range []struct {
			line, host string
			status     int
			location   string // after the authority
		}{
			{"GET /", www, 308, "/"},
			{"POST /form", www, 308, "/form"},
			{"HEAD /a/b?x=%2F&y=1;2", www, 308, "/a/b?x=%2F&y=1;2"},
			{"GET /?", www, 308, "/?"},
			{"GET /", "WWW." + strings.ToUpper(domain) + ":8080", 308, "/"},
			{"GET //evil.example", www, 308, "//evil.example"},
			{"GET //evil.example/%2e", www, 400, ""},
			{`GET /\evil.example`, www, 400, ""},
			{"GET /%0d%0aX-Evil:%201", www, 400, ""},
			{"GET /../x", www, 400, ""},
			{"GET http://evil.example/", www, 400, ""},
			{"OPTIONS *", www, 400, ""},
			{"CONNECT evil.example:443", www, 400, ""},
			{"GET /", "evil.example", 404, ""},
			{"GET /", www + ".evil.example", 404, ""},
			{"GET /", www + ".", 308, "/"},
			{"POST /x?y", "WWW." + domain + ".:80", 308, "/x?y"},
			{"GET /", www + "..", 400, ""},
			{"GET /", ".", 400, ""},
			{"GET /", "evil.example.", 404, ""},
			{"GET https://" + www + "/", www, 400, ""},
			{"GET /", "evil@" + www, 400, ""},
			{"GET /", "", 400, ""},
		} {
			response := s.plain(row.line + " HTTP/1.1\r\nHost: " + row.host + "\r\nContent-Length: 0\r\n\r\n")
			want := ""
			if row.status == 308 {
				want = "https://" + authority + row.location
			}
			if got := response.Header["Location"]; response.StatusCode != row.status || strings.Join(got, " ") != want {
				t.Errorf("%s, host %q: %d %q, want %d %q", row.line, row.host, response.StatusCode, got, row.status, want)
			}
		}
	}
}

// TestPlainHTTPReadsNoBody: nor does it wait for one.
func TestPlainHTTPReadsNoBody(t *testing.T) {
	t.Parallel()
	s := start(t, hello, nil)
	for _, length := range []string{"Content-Length: 1000000000", "Transfer-Encoding: chunked", "Content-Length: 10"} {
		response := s.plain("POST / HTTP/1.1\r\nHost: www." + domain + "\r\n" + length + "\r\n\r\n")
		if response.StatusCode != http.StatusPermanentRedirect || !response.Close {
			t.Errorf("%s: %d, closes: %v", length, response.StatusCode, response.Close)
		}
	}
}

// plain sends bytes to the port of plain HTTP.
func (s *site) plain(text string) *http.Response {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.opts.HTTP[0].Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			s.t.Log(err)
		}
	})
	if err := conn.SetDeadline(time.Now().Add(longest)); err != nil {
		s.t.Fatal(err)
	}
	send(s.t, conn, text)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("%q: %v", text, err)
	}
	return response
}

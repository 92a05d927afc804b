package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAStreamingRoute: with stream: true the first bytes of an upload arrive while the rest is not sent, however short it is, and an answer
// waits for its reader; on other routes the upstream's buffer holds both.
func TestAStreamingRoute(t *testing.T) {
	t.Parallel()
	const downloaded = 40 << 20 // more than sockets hold
	begun, done := make(chan string, 8), make(chan string, 8)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			piece := make([]byte, 1<<20)
			for range downloaded / len(piece) {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
			done <- r.URL.Path
			return
		}
		if _, err := io.ReadFull(r.Body, make([]byte, 3)); err != nil {
			t.Errorf("the beginning: %v", err)
		}
		begun <- r.URL.Path + r.URL.RawQuery
		rest, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v %d", rest, err, r.ContentLength)
	}))
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf("limits: { buffer_memory: 256MiB }\nupstreams: { app: { url: %q, buffer: { response: 48MiB, unknown: true } } }\n", backend.URL),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: /streams, allow: public, stream: true }
  - { path: /held, allow: public }
`,
	})
	t.Run("uploads", func(t *testing.T) {
		for framing, c := range map[string]struct{ line, first, rest, length string }{
			"length":  {"Content-Length: 7", "abc", "defg", "7"},
			"chunked": {"Transfer-Encoding: chunked", "3\r\nabc\r\n", "4\r\ndefg\r\n0\r\n\r\n", "-1"},
		} {
			conn := s.handshake(t, s.tls(appHost, "http/1.1"))
			s.mustWrite(t, conn, "POST /streams?"+framing+" HTTP/1.1\r\nHost: "+appHost+"\r\nConnection: close\r\n"+c.line+"\r\n\r\n"+c.first)
			if got := told(t, begun, "the first bytes of what streams"); got != "/streams"+framing {
				t.Errorf("%s begins", got)
			}
			s.mustWrite(t, conn, c.rest)
			if got, err := io.ReadAll(conn); err != nil || !strings.Contains(string(got), "defg <nil> "+c.length) {
				t.Errorf("%s: %q, %v", framing, got, err)
			}
		}
		h := s.h2(t, appHost)
		stream := h.headers(request{method: http.MethodPost, host: appHost, target: "/streams?h2", header: []string{"Content-Length: 7"}}.fields(), false)
		h.check(h.framer.WriteData(stream, false, []byte("abc")))
		if got := told(t, begun, "the first bytes of what streams over HTTP/2"); got != "/streamsh2" {
			t.Errorf("%s begins", got)
		}
		h.check(h.framer.WriteData(stream, true, []byte("defg")))
		if got := h.read(stream); got.body != "defg <nil> 7" {
			t.Errorf("over HTTP/2: %v", got)
		}
	})
	t.Run("what is held", func(t *testing.T) {
		held := s.handshake(t, s.tls(appHost, "http/1.1"))
		s.mustWrite(t, held, "POST /held HTTP/1.1\r\nHost: "+appHost+"\r\nConnection: close\r\nContent-Length: 7\r\n\r\nabc")
		if got := s.http1(t, request{method: http.MethodPost, host: appHost, target: "/streams?between", body: "abcd"}); !strings.HasPrefix(got.body, "d ") {
			t.Errorf("beside it: %v", got)
		}
		if got := told(t, begun, "what streams"); got != "/streamsbetween" {
			t.Errorf("%s begins though it is not here", got)
		}
		s.mustWrite(t, held, "defg")
		if got := told(t, begun, "what was held"); got != "/held" {
			t.Errorf("%s begins", got)
		}
	})
	t.Run("answers", func(t *testing.T) {
		for _, path := range []string{"/streams", "/held"} {
			conn := s.handshake(t, s.tls(appHost, "http/1.1"))
			s.mustWrite(t, conn, "GET "+path+" HTTP/1.1\r\nHost: "+appHost+"\r\n\r\n")
			if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		if got := told(t, done, "the whole of an answer is read ahead"); got != "/held" {
			t.Errorf("all of %s was taken though nobody reads it", got)
		}
	})
}

// told waits for what somebody says.
func told(t *testing.T, by <-chan string, what string) string {
	t.Helper()
	select {
	case said := <-by:
		return said
	case <-time.After(waitTimeout):
		t.Fatalf("%s: nothing for %v", what, waitTimeout)
		return ""
	}
}

package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// answersEarly is a backend that reads no body: below /public/early it answers and closes, as most servers do with a POST
// that they do not want, and else it closes without a word once something of the body has come.
func answersEarly(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		early := strings.HasPrefix(r.URL.Path, "/public/early")
		if !early {
			if _, err := io.ReadFull(r.Body, make([]byte, 3)); err != nil {
				t.Errorf("the beginning of the body: %v", err)
			}
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer closeQuietly(t, conn)
		if early {
			_, err = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// heldBack are the beginnings of bodies whose rest never comes.
var heldBack = []string{"Content-Length: 1000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"}

// TestAnsweredUploadIsNotHeld: once an upload is answered, its connection ends, though the client stays silent; also at the
// login host where the IdP runs apart.
func TestAnsweredUploadIsNotHeld(t *testing.T) {
	t.Parallel()
	keys, early := publishKeys(t, newSigner(t)).Config.Handler, answersEarly(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // the gateway asks for the IdP's keys
			keys.ServeHTTP(w, r)
			return
		}
		early(w, r)
	}))
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
redis: %q
secret: "a secret of the whole fleet, 32 bytes or more"
login: { host: login.viloforge.test, upstream: %q }
upstreams: { app: { url: %q, buffer: { request: off } } }
`, confirmed(redistest.New(t)).URL(), backend.URL, backend.URL),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/public/*rest\", allow: public } ]\n",
	})
	for _, host := range []string{"app.viloforge.test", "login.viloforge.test"} {
		for path, status := range map[string]int{"/public/early": http.StatusNotFound, "/public/drop": http.StatusBadGateway} {
			for _, framing := range heldBack {
				t.Run(fmt.Sprintf("%s%s, %.14s", host, path, framing), func(t *testing.T) {
					t.Parallel()
					conn := s.handshake(t, s.tls(host, "http/1.1"))
					if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: "+host+"\r\n"+framing); err != nil {
						t.Fatal(err)
					}
					from := bufio.NewReader(conn)
					if got := readAnswer(t, from, "POST"); got.status != status || got.header.Get("Connection") != "close" {
						t.Errorf("status %d, Connection %q", got.status, got.header.Get("Connection"))
					}
					if _, err := io.ReadAll(from); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("the connection was still open after %v", waitTimeout)
					}
				})
			}
		}
	}
}

// TestUploadWhoseBackendGoes: the client hears at once that the backend has closed its connection, though it holds the rest
// of its body back.
func TestUploadWhoseBackendGoes(t *testing.T) {
	t.Parallel()
	s := streaming(t, answersEarly(t))
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		for _, length := range []int64{-1, 1000} {
			body, in := io.Pipe()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("app", "/public/drop"), body)
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = length
			go func() { _, _ = io.WriteString(in, "abc") }()
			response, err := c.http.Do(request)
			if err != nil {
				t.Fatalf("%s, length %d: %v", protocol, length, err)
			}
			if response.StatusCode != http.StatusBadGateway {
				t.Errorf("%s, length %d: status %d", protocol, length, response.StatusCode)
			}
			closeQuietly(t, response.Body)
			closeQuietly(t, in)
		}
	}
}

// TestHeldUploadsHoldNoOther: while a backend reads nothing of some uploads, other requests of the same connection of HTTP/2, which
// a browser has one of for all hosts, bring their bodies.
func TestHeldUploadsHoldNoOther(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	s := streaming(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/public/held" {
			<-finish
		} else if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("the other's body: %v", err)
		}
	})
	t.Cleanup(func() { close(finish) })
	c := newClient(t, s, s.tls("", "h2"))
	var sent atomic.Int64
	for range 3 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("app", "/public/held"), endless{&sent})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if response, err := c.http.Do(r); err == nil {
				closeQuietly(t, response.Body)
			}
		}()
	}
	last, still := int64(0), 0
	eventually(t, "the uploads are held", func() bool {
		if now := sent.Load(); now > last {
			last, still = now, 0
		}
		still++
		return last > 3<<20 && still > 30
	})
	if got := c.do(http.MethodPost, s.url("app", "/public/other"), strings.Repeat("x", 10000)); got.status != http.StatusOK {
		t.Errorf("another request: %v", got)
	}
}

// endless is a body without end.
type endless struct{ read *atomic.Int64 }

func (e endless) Read(p []byte) (int, error) {
	e.read.Add(int64(len(p)))
	return len(p), nil
}

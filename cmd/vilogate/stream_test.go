package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// streaming is a site whose backend is a handler of the test's own.
func streaming(t *testing.T, handler http.HandlerFunc) *site {
	t.Helper()
	backend := httptest.NewServer(handler)
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.URL),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public }
  - { path: /socket, allow: authenticated, websocket: true }
  - { path: "/*rest", allow: authenticated }
`,
	})
	return s
}

// TestServerSentEvents: each event arrives when it is sent, not when the stream ends.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	s := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}
			<-next
		}
	})
	for _, protocol := range []string{"h2", "http/1.1"} {
		c := newClient(t, s, s.tls("", protocol))
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url("app", "/public/events"), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(response.Body)
		for i := range 3 {
			line, err := reader.ReadString('\n')
			if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
				t.Fatalf("%s: read %q (%v), want %q while the stream is open", protocol, line, err, want)
			}
			if _, err := reader.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			next <- struct{}{}
		}
		closeQuietly(t, response.Body)
	}
}

// echoAtOnce answers with the request's body, each piece as soon as it arrives.
func echoAtOnce(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil { // as node does by nature: q.pipe(r)
			t.Error(err)
		}
		piece := make([]byte, 16<<10)
		for {
			n, err := r.Body.Read(piece)
			if _, failed := w.Write(piece[:n]); failed != nil || err != nil {
				return
			}
			if err := control.Flush(); err != nil {
				return
			}
		}
	}
}

// TestUploadThatIsAnsweredWhileItIsRead: no byte of a body is lost when the backend's answer begins before the body has
// ended. A body has one reader.
func TestUploadThatIsAnsweredWhileItIsRead(t *testing.T) {
	t.Parallel()
	s := streaming(t, echoAtOnce(t))
	sent := make([]byte, 3_000_000)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		for _, length := range []int64{-1, int64(len(sent))} {
			for range 3 {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("app", "/public/echo"), io.NopCloser(bytes.NewReader(sent)))
				if err != nil {
					t.Fatal(err)
				}
				request.ContentLength = length
				response, err := c.http.Do(request)
				if err != nil {
					t.Fatalf("%s, length %d: %v", protocol, length, err)
				}
				got, err := io.ReadAll(response.Body)
				closeQuietly(t, response.Body)
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%s, length %d: %d of %d bytes came back, the same up to %d, error %v", protocol, length, len(got), len(sent), commonPrefix(got, sent), err)
				}
			}
		}
	}
}

func commonPrefix(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestRequestsBehindABodyThatNobodyRead: what the backend leaves of a body is never the next request. The connection serves
// the next one, or its answer has said that it ends.
func TestRequestsBehindABodyThatNobodyRead(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/public/some" {
			if _, err := io.ReadFull(r.Body, make([]byte, 1000)); err != nil {
				t.Error(err)
			}
		}
		w.WriteHeader(http.StatusAccepted)
	})
	for _, framing := range []string{"Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000), "Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("x", 100_000) + "\r\n0\r\n\r\n"} {
		var conn net.Conn
		var from *bufio.Reader
		for i := range 20 {
			for _, sent := range []string{
				"POST /public/" + []string{"none", "some"}[i%2] + " HTTP/1.1\r\nHost: app.viloforge.test\r\n" + framing,
				"GET /public/next HTTP/1.1\r\nHost: app.viloforge.test\r\n\r\n",
			} {
				if conn == nil {
					conn = s.handshake(t, s.tls("app.viloforge.test", "http/1.1"))
					from = bufio.NewReader(conn)
				}
				if _, err := io.WriteString(conn, sent); err != nil {
					t.Fatalf("request %d, %.30q: %v", i, sent, err)
				}
				got := readAnswer(t, from, "POST")
				if got.status != http.StatusAccepted {
					t.Fatalf("request %d, %.30q: status %d", i, sent, got.status)
				}
				if got.header.Get("Connection") == "close" {
					conn = nil
				}
			}
		}
	}
}

// TestAnswersBeforeTheBodyHasEnded: an early answer of the backend reaches its end while the client still holds the rest of
// its body back, and says that the connection ends.
func TestAnswersBeforeTheBodyHasEnded(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil { // as other servers do by nature
			t.Error(err)
		}
		switch r.URL.Path {
		case "/public/chunked":
			w.WriteHeader(http.StatusUnauthorized)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "no")
		default:
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "no")
		}
	})
	for path, status := range map[string]int{"/public/chunked": 401, "/public/length": 401} {
		for _, framing := range []string{"Content-Length: 1000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
			conn := s.handshake(t, s.tls("app.viloforge.test", "http/1.1"))
			if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: app.viloforge.test\r\n"+framing); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // a last limit: the edge waits for bodies without one
				t.Fatal(err)
			}
			got := readAnswer(t, bufio.NewReader(conn), "POST")
			if got.status != status || status == 401 && got.body != "no" || got.header.Get("Connection") != "close" {
				t.Errorf("%s, %.20q: %d %q, Connection %q", path, framing, got.status, got.body, got.header.Get("Connection"))
			}
		}
	}
}

// TestWebSocketHandshakeWithABody is refused: body and tunnel would share one connection.
func TestWebSocketHandshakeWithABody(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(http.ResponseWriter, *http.Request) { t.Error("the backend was asked") })
	s.addUser("alice")
	sso := s.client().login("alice").sso()
	raw := "GET /socket HTTP/1.1\r\nHost: app.viloforge.test\r\nOrigin: https://app.viloforge.test\r\n" + cookieLine(sso) +
		"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: 3\r\n\r\nabc"
	conn := s.handshake(t, s.tls("app.viloforge.test", "http/1.1"))
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	if got := readAnswer(t, bufio.NewReader(conn), "GET"); got.status != http.StatusBadRequest {
		t.Errorf("status %d, want 400", got.status)
	}
}

// TestConversation: client and backend may take turns within one request, in both protocols.
func TestConversation(t *testing.T) {
	t.Parallel()
	s := streaming(t, echoAtOnce(t))
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		body, in := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("app", "/public/talk"), body)
		if err != nil {
			t.Fatal(err)
		}
		say := func(line string) {
			if _, err := io.WriteString(in, line+"\n"); err != nil {
				t.Errorf("%s: %v", protocol, err)
			}
		}
		go say("first")
		response, err := c.http.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}
		answers := bufio.NewScanner(response.Body)
		for i, want := range []string{"first", "second", "third"} {
			if i > 0 {
				say(want)
			}
			if !answers.Scan() || answers.Text() != want {
				t.Fatalf("%s: %q, want %q: %v", protocol, answers.Text(), want, answers.Err())
			}
		}
		if err := errors.Join(in.Close(), response.Body.Close()); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

// TestClientCancellation: when the client goes, the backend hears of it.
func TestClientCancellation(t *testing.T) {
	t.Parallel()
	arrived, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	s := streaming(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	for _, protocol := range []string{"h2", "http/1.1"} {
		c := newClient(t, s, s.tls("", protocol))
		ctx, cancel := context.WithCancel(context.Background())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("app", "/public/slow"), nil)
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			response, err := c.http.Do(request)
			if err == nil {
				err = fmt.Errorf("answered %s", response.Status)
				closeQuietly(t, response.Body)
			}
			failed <- err
		}()
		wait(t, arrived, protocol+": the request arrives")
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", protocol, err)
		}
		wait(t, gone, protocol+": the backend hears that the client is gone")
	}
}

// TestHalfClosedClient: a client that has ended its side may still be reading. It may be told nothing, but no success
// that there was not.
func TestHalfClosedClient(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		<-r.Context().Done() // as the gateway takes it: nobody is there any more
	})
	conn := s.handshake(t, s.tls(appHost, "http/1.1"))
	if _, err := io.WriteString(conn, request{host: appHost, target: "/public/x"}.text()); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := readAnswer(t, bufio.NewReader(conn), http.MethodGet); got.status != 0 && got.status < 400 {
		t.Errorf("got %v, although the backend has answered nothing", got)
	}
}

func wait(t *testing.T, signal <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(waitTimeout):
		t.Fatalf("waited in vain: %s", what)
	}
}

// TestLargeUploads: a body of any length goes through as it comes, and is never held.
func TestLargeUploads(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			t.Errorf("the backend reads the body: %v", err)
		}
		fmt.Fprintf(w, "%d %x %d", n, hash.Sum(nil), r.ContentLength)
	})
	alice := sessionOf(t, s)
	const size = 64 << 20
	hash := sha256.New()
	if _, err := io.CopyN(hash, pattern{}, size); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"h2", "http/1.1"} {
		for _, length := range []int64{size, -1} {
			c := newClient(t, s, s.tls("", protocol))
			request, err := http.NewRequestWithContext(context.Background(), http.MethodPut, s.url("app", "/x"), io.NopCloser(io.LimitReader(pattern{}, size)))
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = length
			request.Header.Set("Cookie", ssoCookie+"="+alice)
			request.Header.Set("Origin", "https://app.viloforge.test")
			response, err := c.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			closeQuietly(t, response.Body)
			if want := fmt.Sprintf("%d %x %d", size, hash.Sum(nil), length); err != nil || string(body) != want {
				t.Errorf("%s, length %d: got %q (%v), want %q", protocol, length, body, err, want)
			}
		}
	}
}

// pattern is an endless body whose bytes differ.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}
	return len(p), nil
}

// sessionOf makes the user alice and signs her in.
func sessionOf(t *testing.T, s *site) string {
	t.Helper()
	s.addUser("alice", "member")
	return s.client().login("alice").sso()
}

const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// echoFrames is a backend that accepts every upgrade, counts it, and sends back what it gets.
func echoFrames(t *testing.T, upgraded *atomic.Int32) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			fmt.Fprint(w, "no upgrade asked for")
			return
		}
		if r.Header.Get("X-User") != "alice" || r.URL.Path != "/socket" {
			t.Errorf("an upgrade of %q at %s", r.Header.Get("X-User"), r.URL.Path)
		}
		upgraded.Add(1)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer closeQuietly(t, conn)
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"); err != nil {
			return
		}
		if _, err := io.Copy(conn, buffered); err != nil {
			t.Logf("echo: %v", err)
		}
	}
}

// TestWebSocket: only where the route says so, only for somebody, only from the site's own pages.
func TestWebSocket(t *testing.T) {
	t.Parallel()
	var upgraded atomic.Int32
	s := streaming(t, echoFrames(t, &upgraded))
	cookie := cookieLine(sessionOf(t, s)) + "\r\n"
	ask := func(t *testing.T, target, header string) (*http.Response, net.Conn, *bufio.Reader) {
		t.Helper()
		conn := s.handshake(t, s.tls(appHost, "http/1.1"))
		if _, err := io.WriteString(conn, "GET "+target+" HTTP/1.1\r\nHost: "+appHost+"\r\n"+upgrade+header+"\r\n"); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatal(err)
		}
		return response, conn, reader
	}
	own := "Origin: https://app.viloforge.test\r\n"
	for name, c := range map[string]struct {
		target, header string
		status         int
	}{
		"permitted":       {"/socket", cookie + own, http.StatusSwitchingProtocols},
		"stranger":        {"/socket", own, http.StatusUnauthorized},
		"without-origin":  {"/socket", cookie, http.StatusForbidden},
		"foreign-origin":  {"/socket", cookie + "Origin: https://evil.example\r\n", http.StatusForbidden},
		"sibling":         {"/socket", cookie + "Origin: https://other.viloforge.test\r\nSec-Fetch-Site: same-site\r\n", http.StatusForbidden},
		"fetch-site-only": {"/socket", cookie + "Sec-Fetch-Site: same-origin\r\n", http.StatusForbidden},
		"other-route":     {"/x", cookie + own, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			before := upgraded.Load()
			response, conn, reader := ask(t, c.target, c.header)
			if response.StatusCode != c.status && !(name == "other-route" && response.StatusCode == http.StatusForbidden) {
				t.Errorf("got %d, want %d", response.StatusCode, c.status)
			}
			if c.status != http.StatusSwitchingProtocols {
				if upgraded.Load() != before {
					t.Error("the backend was asked to upgrade")
				}
				return
			}
			if _, err := io.WriteString(conn, "frames as they are"); err != nil {
				t.Fatal(err)
			}
			echoed := make([]byte, 18)
			if _, err := io.ReadFull(reader, echoed); err != nil || string(echoed) != "frames as they are" {
				t.Errorf("echoed %q: %v", echoed, err)
			}
		})
	}
}

// TestRefusedUpgradeWithARequestBehindIt: when the backend refuses the upgrade, what the client sent behind it is the
// next request, and is judged as one. It never reaches the backend on the strength of the first.
func TestRefusedUpgradeWithARequestBehindIt(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: /socket, allow: public, websocket: true }
  - { path: /admin, allow: { roles: [admin] } }
  - { path: "/*rest", allow: authenticated }
`,
	})
	for name, second := range map[string]string{
		"stranger":  "GET /admin?smuggled HTTP/1.1\r\nHost: app.viloforge.test\r\nX-User: admin\r\nConnection: close\r\n\r\n",
		"upgraded":  "GET /x?smuggled HTTP/1.1\r\nHost: app.viloforge.test\r\n" + upgrade + "\r\n",
		"old-style": "GET /x?smuggled HTTP/1.0\r\nHost: app.viloforge.test\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers, _ := s.wire(t, appHost, "GET /socket HTTP/1.1\r\nHost: app.viloforge.test\r\nOrigin: https://app.viloforge.test\r\n"+upgrade+"\r\n"+second)
			if len(answers) == 0 || answers[0].status == http.StatusSwitchingProtocols {
				t.Errorf("got %v, want the backend's refusal first", answers)
			}
			for _, got := range answers[min(1, len(answers)):] {
				if got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest {
					t.Errorf("the request behind it: %v", got)
				}
			}
			if seen := backend.with("smuggled"); len(seen) != 0 {
				t.Errorf("the backend received %q", seen)
			}
		})
	}
}

package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

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

package main_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// upgradeBackend is a backend that is asked for WebSockets, and what it was asked.
type upgradeBackend struct {
	*httptest.Server
	asked chan *http.Request
}

// newUpgradeBackend is one that answers as the path says: /socket echoes bytes, others refuse or lie.
func newUpgradeBackend(t *testing.T) *upgradeBackend {
	t.Helper()
	b := &upgradeBackend{asked: make(chan *http.Request, 300)}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.asked <- r
		accept, raw := webSocketAccept(r.Header.Get("Sec-WebSocket-Key")), ""
		switch kind := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]; kind {
		case "page":
			fmt.Fprint(w, "a page")
			return
		case "forbidden":
			http.Error(w, "not you", http.StatusForbidden)
			return
		case "no-accept":
			raw = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
		case "wrong-accept":
			raw = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
		case "two-accepts":
			raw = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept + "\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n"
		case "h2c":
			raw = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n"
		default:
			raw = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade, x-hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept +
				"\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nContent-Length: 5\r\n\r\n"
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer closeQuietly(t, conn)
		if _, err := io.WriteString(conn, raw); err != nil {
			return
		}
		if r.URL.Path == "/public/reset" {
			_, _ = buffered.ReadByte() // it is told when
			_ = conn.(*net.TCPConn).SetLinger(0)
			return
		}
		if _, err := io.Copy(conn, buffered); err != nil {
			t.Logf("echo: %v", err)
			return
		}
		if r.URL.Path == "/public/half" {
			if _, err := io.WriteString(conn, "behind the client's end"); err != nil {
				t.Errorf("behind the client's end: %v", err)
			}
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// site is the backend's.
func (b *upgradeBackend) site(t *testing.T) *site {
	t.Helper()
	return serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q }, grpc: { url: %q } }\n", b.URL, strings.Replace(b.URL, "http:", "h2c:", 1)),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public, websocket: true }
  - { path: /plain, allow: public }
  - { path: /socket, allow: authenticated, websocket: true }
  - { path: /denied, allow: deny, websocket: true }
  - { path: "/*rest", allow: authenticated }
`,
		"policies/grpc.yaml": "host: grpc.viloforge.test\nupstream: grpc\nroutes: [ { path: \"/*rest\", allow: public, websocket: true } ]\n",
	})
}

// TestWebSocketOverHTTP2: a handshake by extended CONNECT (RFC 8441) is decided as that of HTTP/1.1 is, and no answer but a switch of
// protocols opens anything.
func TestWebSocketOverHTTP2(t *testing.T) {
	t.Parallel()
	b := newUpgradeBackend(t)
	s := b.site(t)
	cookie := cookieLine(sessionOf(t, s))
	const own = "Origin: https://app.viloforge.test"
	for name, c := range map[string]struct {
		host, target string
		header       []string
		status       int
		asked        bool // the backend is
	}{
		"permitted":           {appHost, "/socket", []string{cookie, own}, http.StatusOK, true},
		"stranger":            {appHost, "/socket", []string{own}, http.StatusUnauthorized, false},
		"without-origin":      {appHost, "/socket", []string{cookie}, http.StatusForbidden, false},
		"foreign-origin":      {appHost, "/socket", []string{cookie, "Origin: https://evil.example"}, http.StatusForbidden, false},
		"fetch-site-only":     {appHost, "/socket", []string{cookie, "Sec-Fetch-Site: same-origin"}, http.StatusForbidden, false},
		"sibling":             {appHost, "/socket", []string{cookie, "Origin: https://other.viloforge.test", "Sec-Fetch-Site: same-site"}, http.StatusForbidden, false},
		"denied":              {appHost, "/denied", []string{cookie, own}, http.StatusForbidden, false},
		"public":              {appHost, "/public/socket", nil, http.StatusOK, true},
		"a-route-without":     {appHost, "/plain", nil, http.StatusBadRequest, false},
		"own-path":            {appHost, "/.vilogate/me", []string{cookie, own}, http.StatusBadRequest, false},
		"keys":                {appHost, "/.well-known/vilogate/jwks.json", nil, http.StatusBadRequest, false},
		"login-host":          {"login.viloforge.test", "/login", nil, http.StatusBadRequest, false},
		"unknown-host":        {"nothing.viloforge.test", "/", nil, http.StatusNotFound, false},
		"upstream-of-http2":   {"grpc.viloforge.test", "/x", nil, http.StatusBadRequest, false},
		"dot-segments":        {appHost, "/public/../socket", []string{own}, http.StatusBadRequest, false},
		"backend-refuses":     {appHost, "/public/forbidden", nil, http.StatusForbidden, true},
		"backend-has-a-page":  {appHost, "/public/page", nil, http.StatusBadGateway, true},
		"no-accept":           {appHost, "/public/no-accept", nil, http.StatusBadGateway, true},
		"accept-of-other-key": {appHost, "/public/wrong-accept", []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}, http.StatusBadGateway, true},
		"two-accepts":         {appHost, "/public/two-accepts", nil, http.StatusBadGateway, true},
		"another-protocol":    {appHost, "/public/h2c", nil, http.StatusBadGateway, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, tunnel := s.h2(t, c.host).tunnel(request{host: c.host, target: c.target, header: c.header}.handshake())
			if got.status != c.status || (tunnel != nil) != (c.status == http.StatusOK) {
				t.Errorf("answered by %v, want %d", got, c.status)
			}
			if name == "backend-refuses" && !strings.Contains(got.body, "not you") {
				t.Errorf("the backend's refusal arrives as %q", got.body)
			}
			select {
			case r := <-b.asked:
				if !c.asked || r.Method != http.MethodGet || r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
					t.Errorf("the backend is asked %s %s %v", r.Method, r.URL, r.Header)
				}
			default:
				if c.asked {
					t.Error("the backend is not asked")
				}
			}
			if tunnel == nil {
				return
			}
			for range 2 { // what came first has been counted when the second comes
				if _, err := io.WriteString(tunnel, "frames as they are"); err != nil {
					t.Fatal(err)
				}
				echoed := make([]byte, 18)
				if _, err := io.ReadFull(tunnel, echoed); err != nil || string(echoed) != "frames as they are" {
					t.Errorf("echoed %q: %v", echoed, err)
				}
			}
		})
	}
	eventually(t, "an access record says what it was", func() bool {
		for line := range strings.Lines(s.output.String()) {
			if strings.Contains(line, `"path":"/public/socket"`) && strings.Contains(line, `"websocket":true`) && strings.Contains(line, `"protocol":"HTTP/2"`) &&
				strings.Contains(line, `"method":"GET"`) && (strings.Contains(line, `"bytes":18,`) || strings.Contains(line, `"bytes":36,`)) && strings.Contains(line, `"status":200`) {
				return true
			}
		}
		return false
	})
}

// TestWhatAHandshakeOverHTTP2Carries: the key is the gateway's, nothing about a connection passes, and what the ends agree on does.
func TestWhatAHandshakeOverHTTP2Carries(t *testing.T) {
	t.Parallel()
	b := newUpgradeBackend(t)
	s := b.site(t)
	cookie := cookieLine(sessionOf(t, s))
	keys := map[string]bool{}
	for range 2 {
		got, tunnel := s.h2(t, appHost).tunnel(request{host: appHost, target: "/socket?x=1", header: []string{
			cookie, "Origin: https://app.viloforge.test", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Accept: forged", "Sec-WebSocket-Key1: 1 2",
			"Sec-WebSocket-Protocol: chat, superchat", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "X-User: admin", "Proxy-Authorization: Basic eDp5", "X-Here: 1", "TE: trailers", "Trailer: X-User",
		}}.handshake())
		if tunnel == nil {
			t.Fatal(got)
		}
		if got.header.Get("Sec-WebSocket-Protocol") != "chat" || got.header.Get("Sec-WebSocket-Extensions") != "permessage-deflate" {
			t.Errorf("answered by %v", got.header)
		}
		for _, name := range []string{"Connection", "Upgrade", "Sec-WebSocket-Accept", "Content-Length", "X-Hop"} {
			if _, ok := got.header[http.CanonicalHeaderKey(name)]; ok {
				t.Errorf("the answer has %s", name)
			}
		}
		r := <-b.asked
		for name, want := range map[string]string{
			"Sec-WebSocket-Protocol": "chat, superchat", "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits", "Sec-WebSocket-Version": "13",
			"X-User": "alice", "X-Here": "1", "Sec-WebSocket-Accept": "", "Sec-WebSocket-Key1": "", "Proxy-Authorization": "", "Trailer": "", "Cookie": "",
		} {
			if got := strings.Join(r.Header.Values(name), "|"); got != want {
				t.Errorf("the backend receives %s: %q, want %q", name, got, want)
			}
		}
		key := r.Header.Values("Sec-WebSocket-Key")
		if len(key) != 1 || keys[key[0]] || key[0] == "dGhlIHNhbXBsZSBub25jZQ==" {
			t.Fatalf("the keys are %q", key)
		}
		keys[key[0]] = true
		if nonce, err := base64.StdEncoding.DecodeString(key[0]); err != nil || len(nonce) != 16 {
			t.Errorf("the key %q: %v", key[0], err)
		}
		if r.URL.RawQuery != "x=1" || r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("the backend is asked %v", r)
		}
	}
}

// TestHandshakesThatAreNone of HTTP/2 reach no backend.
func TestHandshakesThatAreNone(t *testing.T) {
	t.Parallel()
	b := newUpgradeBackend(t)
	s := b.site(t)
	pseudo := func(fields ...string) (list []field) {
		for i := 0; i < len(fields); i += 2 {
			list = append(list, field{fields[i], fields[i+1]})
		}
		return list
	}
	for name, c := range map[string]struct {
		fields []field
		status int
	}{
		"CONNECT":           {pseudo(":method", "CONNECT", ":authority", appHost), http.StatusMethodNotAllowed},
		"CONNECT-to-a-port": {pseudo(":method", "CONNECT", ":authority", appHost+":25"), http.StatusMethodNotAllowed},
		"GET":               {pseudo(":method", "GET", ":protocol", "websocket", ":scheme", "https", ":authority", appHost, ":path", "/public/socket"), http.StatusBadRequest},
		"POST":              {pseudo(":method", "POST", ":protocol", "websocket", ":scheme", "https", ":authority", appHost, ":path", "/public/socket"), http.StatusBadRequest},
		"no-path":           {pseudo(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", appHost), http.StatusBadRequest},
		"no-scheme":         {pseudo(":method", "CONNECT", ":protocol", "websocket", ":authority", appHost, ":path", "/public/socket"), http.StatusBadRequest},
		"no-authority":      {pseudo(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":path", "/public/socket"), http.StatusBadRequest},
		"twice":             {pseudo(":method", "CONNECT", ":protocol", "websocket", ":protocol", "websocket", ":scheme", "https", ":authority", appHost, ":path", "/public/socket"), http.StatusBadRequest},
		"webtransport":      {pseudo(":method", "CONNECT", ":protocol", "webtransport", ":scheme", "https", ":authority", appHost, ":path", "/public/socket"), http.StatusNotImplemented},
		"connect-udp":       {pseudo(":method", "CONNECT", ":protocol", "connect-udp", ":scheme", "https", ":authority", appHost, ":path", "/public/socket"), http.StatusNotImplemented},
		"empty":             {pseudo(":method", "CONNECT", ":protocol", "", ":scheme", "https", ":authority", appHost, ":path", "/public/socket"), http.StatusNotImplemented},
		"upgrade":           {pseudo(":method", "GET", ":scheme", "https", ":authority", appHost, ":path", "/public/socket", "upgrade", "websocket"), http.StatusBadRequest},
		"both":              {pseudo(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", appHost, ":path", "/public/socket", "upgrade", "websocket", "connection", "upgrade"), http.StatusBadRequest},
		"content-length":    {pseudo(":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", appHost, ":path", "/public/socket", "content-length", "5"), http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			if got, tunnel := s.h2(t, appHost).tunnel(c.fields); got.status != c.status || tunnel != nil {
				t.Errorf("answered by %v, want %d", got, c.status)
			}
		})
	}
	for name, line := range map[string]string{"colon": ":protocol: websocket", "plain": "Protocol: websocket"} {
		answers, _ := s.wire(t, appHost, "CONNECT /public/socket HTTP/1.1\r\nHost: "+appHost+"\r\n"+line+"\r\nConnection: close\r\n\r\n")
		if len(answers) != 1 || answers[0].status != http.StatusBadRequest && answers[0].status != http.StatusMethodNotAllowed {
			t.Errorf("HTTP/1.1, %s: %v", name, answers)
		}
	}
	select {
	case r := <-b.asked:
		t.Errorf("the backend is asked %s %s", r.Method, r.URL)
	default:
	}
}

// TestATunnelCarriesEverything, both ways at once, and ends as each end says.
func TestATunnelCarriesEverything(t *testing.T) {
	t.Parallel()
	b := newUpgradeBackend(t)
	s := b.site(t)
	open := func(t *testing.T, path string) *h2tunnel {
		t.Helper()
		got, tunnel := s.h2(t, appHost).tunnel(request{host: appHost, target: path}.handshake())
		if tunnel == nil {
			t.Fatal(got)
		}
		<-b.asked
		return tunnel
	}
	t.Run("16 MB", func(t *testing.T) {
		tunnel := open(t, "/public/socket")
		sent := make([]byte, 16<<20)
		_, _ = rand.Read(sent)
		failed := make(chan error, 1)
		go func() {
			_, err := tunnel.Write(sent)
			failed <- errors.Join(err, tunnel.CloseWrite())
		}()
		digest := sha256.New()
		n, err := io.Copy(digest, tunnel)
		if err := errors.Join(err, <-failed); err != nil || n != int64(len(sent)) || !bytes.Equal(digest.Sum(nil), sum(sent)) {
			t.Errorf("%d bytes came back: %v", n, err)
		}
	})
	t.Run("half closed", func(t *testing.T) {
		tunnel := open(t, "/public/half")
		if _, err := io.WriteString(tunnel, "the last word, "); err != nil {
			t.Fatal(err)
		}
		if err := tunnel.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(tunnel); err != nil || string(got) != "the last word, behind the client's end" {
			t.Errorf("got %q: %v", got, err)
		}
	})
	t.Run("reset by the backend", func(t *testing.T) {
		tunnel := open(t, "/public/reset")
		if _, err := io.WriteString(tunnel, "x"); err != nil {
			t.Fatal(err)
		}
		_, err := io.ReadAll(tunnel)
		if reset, ok := errors.AsType[http2.StreamError](err); !ok || reset.Code != http2.ErrCodeCancel {
			t.Errorf("ended by %v", err)
		}
	})
	t.Run("header fields in it", func(t *testing.T) {
		tunnel := open(t, "/public/socket")
		tunnel.writeBlock(tunnel.stream, []field{{"x-user", "admin"}}, true)
		_, err := io.ReadAll(tunnel)
		if reset, ok := errors.AsType[http2.StreamError](err); !ok || reset.Code != http2.ErrCodeProtocol {
			t.Errorf("ended by %v", err)
		}
	})
	t.Run("a frame that is too long", func(t *testing.T) {
		tunnel := open(t, "/public/socket")
		if err := tunnel.framer.WriteData(tunnel.stream, false, make([]byte, 1<<20)); err != nil {
			t.Log(err)
		}
		if got, err := io.ReadAll(tunnel); err == nil || len(got) > 0 {
			t.Errorf("got %d bytes: %v", len(got), err)
		}
	})
}

func sum(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

// TestDataBeforeTheHandshakeIsAnswered waits for the answer; where that is a refusal, it goes nowhere.
func TestDataBeforeTheHandshakeIsAnswered(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/public/socket": "GET /admin HTTP/1.1\r\n\r\n", "/public/forbidden": "", "/plain": ""} {
		b := newUpgradeBackend(t)
		s := b.site(t)
		c := s.h2(t, appHost)
		stream := c.headers(request{host: appHost, target: path}.handshake(), false)
		c.check(c.framer.WriteData(stream, false, []byte("GET /admin HTTP/1.1\r\n\r\n")))
		c.check(c.framer.WriteData(stream, true, nil))
		got := c.read(stream)
		if want != "" && got.body != want || (got.status == http.StatusOK) != (want != "") {
			t.Errorf("%s: %v", path, got)
		}
		if got := s.h2(t, appHost).exchange(request{host: appHost, target: "/public/page"}.fields(), ""); got.body != "a page" {
			t.Errorf("%s: then %v", path, got)
		}
		for len(b.asked) > 0 {
			if r := <-b.asked; r.URL.Path == "/admin" {
				t.Errorf("%s: the backend is asked %s", path, r.URL)
			}
		}
	}
}

// TestTunnelsAreStreams: there are as many on a connection as it may have streams, and the place of one that has ended is free.
func TestTunnelsAreStreams(t *testing.T) {
	t.Parallel()
	b := newUpgradeBackend(t)
	s := b.site(t)
	c := s.h2(t, appHost)
	var last *h2tunnel
	for i := range 250 {
		got, tunnel := c.begin(request{host: appHost, target: "/public/socket"}.handshake())
		if tunnel == nil {
			t.Fatalf("the WebSocket %d: %v", i+1, got)
		}
		<-b.asked
		last = tunnel
	}
	for range 10 {
		if got, tunnel := c.begin(request{host: appHost, target: "/public/socket"}.handshake()); tunnel != nil || got.status != 0 {
			t.Fatalf("one more: %v", got)
		}
	}
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	if got, tunnel := c.begin(request{host: appHost, target: "/public/socket"}.handshake()); tunnel == nil {
		t.Fatalf("in the place of one that has ended: %v", got)
	}
	<-b.asked
	if len(b.asked) > 0 {
		t.Error("the backend was asked for what was refused")
	}
}

// TestAClientThatIsGoneEndsItsTunnels, for the backend too.
func TestAClientThatIsGoneEndsItsTunnels(t *testing.T) {
	t.Parallel()
	backend := newLongBackend(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.URL), "policies/app.yaml": streamsPolicy,
	})
	for name, leave := range map[string]func(*h2tunnel) error{
		"reset":      (*h2tunnel).Close,
		"connection": func(u *h2tunnel) error { return u.h2conn.conn.Close() },
	} {
		u := backend.openTunnel(s, "/public/socket", name, "X-Nobody: 1")
		if err := leave(u.conn.(*h2tunnel)); err != nil {
			t.Fatal(err)
		}
		if told := backend.next(name); told != "cut off" {
			t.Errorf("%s: the backend sees %q", name, told)
		}
	}
}

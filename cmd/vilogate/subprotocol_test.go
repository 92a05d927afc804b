package main_test

import (
	"bufio"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// subprotocolBackend opens every WebSocket, selects chat where that is offered, and says what it was sent.
func subprotocolBackend(t *testing.T) *httptest.Server {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offered := strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), "|")
		said := fmt.Sprintf("%s %q %q", r.Header.Get("X-User"), offered, r.Header.Get("Authorization"))
		if len(said) > 120 {
			said = said[:120]
		}
		if r.Header.Get("Upgrade") == "" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,>")
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer closeQuietly(t, conn)
		selected := ""
		if strings.Contains(offered, "chat") {
			selected = "Sec-WebSocket-Protocol: chat\r\n"
		}
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n%s\r\n", webSocketAccept(r.Header.Get("Sec-WebSocket-Key")), selected)
		_, _ = conn.Write(append([]byte{0x81, byte(len(said))}, said...)) // where it fails, so does the reading
		_, _ = io.Copy(io.Discard, buffered)
	}))
	t.Cleanup(backend.Close)
	return backend
}

// webSocket opens a WebSocket with more lines in its header, and reads the first message; "" where there is none.
func (s *site) webSocket(t *testing.T, protocol, host, target string, header ...string) (answer, string) {
	t.Helper()
	header = append(header, "Origin: https://"+host)
	var opened io.Reader
	var got answer
	if protocol == "HTTP2" {
		var tunnel *h2tunnel
		got, tunnel = s.h2(t, host).tunnel(request{host: host, target: target, header: header}.handshake())
		if tunnel == nil {
			return got, ""
		}
		opened = tunnel
	} else {
		conn := s.handshake(t, s.tls(host, "http/1.1"))
		s.mustWrite(t, conn, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\n"+upgrade+strings.Join(header, "\r\n")+"\r\n\r\n")
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatal(err)
		}
		if got = (answer{status: response.StatusCode, header: response.Header}); got.status != http.StatusSwitchingProtocols {
			return got, ""
		}
		got.status, opened = http.StatusOK, reader
	}
	_, payload, err := readFrame(opened)
	if err != nil {
		t.Errorf("the first message: %v", err)
	}
	return got, string(payload)
}

// TestATokenAsASubprotocol counts as one in Authorization, for WebSockets alone, and arrives at no backend. Names that are no token of ours
// are the backend's.
func TestATokenAsASubprotocol(t *testing.T) {
	t.Parallel()
	const secret = "a secret of another issuer, of 32 bytes"
	backend := subprotocolBackend(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf(`
tokens: { issuers: [ { name: legacy, secret: %q, algorithm: HS256, cookie: jwt, claims: { user: username } } ] }
upstreams: { app: { url: %[2]q, buffer: { request: off } }, verifies: { url: %[2]q, forward_token: legacy } }
`, secret, backend.URL),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public, websocket: true }
  - { path: /optional, allow: optional, websocket: true }
  - { path: /machine, allow: authenticated, bearer: only, websocket: true }
  - { path: "/*rest", allow: authenticated, websocket: true }
`,
		"policies/verifies.yaml": "host: verifies.viloforge.test\nupstream: verifies\nroutes: [ { path: \"/*rest\", allow: authenticated, websocket: true } ]\n",
	})
	mint := func(changes claims) string {
		c := claims{"username": "carol", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}.with(changes)
		return hs(crypto.SHA256, []byte(secret), `{"alg":"HS256","typ":"JWT"}`, c.json())
	}
	token, expired := mint(nil), mint(claims{"exp": time.Now().Add(-time.Hour).Unix()})
	cookie := cookieLine(sessionOf(t, s))
	offer := func(names ...string) string { return "Sec-WebSocket-Protocol: " + strings.Join(names, ", ") }
	for name, c := range map[string]struct {
		target   string
		header   []string
		status   int
		said     string // by the backend of what it was sent
		selected string
	}{
		"alone":                   {"/x", []string{offer("bearer." + token)}, 200, `carol "" ""`, "bearer." + token},
		"before-another":          {"/x", []string{offer("bearer."+token, "chat")}, 200, `carol "chat" ""`, "chat"},
		"between-others":          {"/x", []string{offer("a", "bearer."+token, "chat", "b")}, 200, `carol "a, chat, b" ""`, "chat"},
		"none-is-selected":        {"/x", []string{offer("a", "bearer."+token)}, 200, `carol "a" ""`, "bearer." + token},
		"on-a-line-of-its-own":    {"/x", []string{offer("chat"), offer("bearer." + token), offer("b")}, 200, `carol "chat|b" ""`, "chat"},
		"for-machines":            {"/machine", []string{offer("bearer." + token)}, 200, `carol "" ""`, "bearer." + token},
		"public":                  {"/public/x", []string{offer("bearer."+token, "chat")}, 200, `carol "chat" ""`, "chat"},
		"optional":                {"/optional", []string{offer("bearer."+token, "chat")}, 200, `carol "chat" ""`, "chat"},
		"beside-a-cookie":         {"/x", []string{offer("bearer." + token), cookie}, 200, `carol "" ""`, "bearer." + token},
		"of-a-page-elsewhere":     {"/x", []string{offer("bearer." + token), "Sec-Fetch-Site: cross-site"}, 200, `carol "" ""`, "bearer." + token},
		"expired":                 {"/x", []string{offer("bearer." + expired)}, 401, "", ""},
		"expired-public":          {"/public/x", []string{offer("bearer." + expired)}, 401, "", ""},
		"expired-beside-a-cookie": {"/x", []string{offer("bearer." + expired), cookie}, 401, "", ""},
		"none":                    {"/x", []string{offer("chat")}, 401, "", ""},
		"empty":                   {"/x", []string{offer("bearer.", "chat")}, 401, "", ""},
		"another-prefix":          {"/x", []string{offer("Bearer."+token, "chat")}, 401, "", ""},
		"no-token-of-ours":        {"/x", []string{offer("bearer.opaque", "chat")}, 401, "", ""},
		"twice":                   {"/x", []string{offer("bearer."+token, "bearer."+token)}, 400, "", ""},
		"twice-public":            {"/public/x", []string{offer("bearer." + token), offer("bearer.x")}, 400, "", ""},
		"beside-authorization":    {"/x", []string{offer("bearer." + token), "Authorization: Bearer " + token}, 400, "", ""},
		"beside-basic":            {"/public/x", []string{offer("bearer." + token), "Authorization: Basic eDp5"}, 400, "", ""},
		"verified-again":          {"/x", []string{offer("bearer."+token, "chat")}, 200, fmt.Sprintf("carol \"chat\" %q", "Bearer "+token), "chat"},
		// What no issuer could have made is a name like any other.
		"backends-own":          {"/x", []string{offer("bearer.opaque", "chat"), cookie}, 200, `alice "bearer.opaque, chat" ""`, "chat"},
		"backends-own-public":   {"/public/x", []string{offer("bearer.opaque", "chat")}, 200, ` "bearer.opaque, chat" ""`, "chat"},
		"backends-own-optional": {"/optional", []string{offer("bearer.opaque", "chat")}, 200, ` "bearer.opaque, chat" ""`, "chat"},
		"none-public":           {"/public/x", nil, 200, ` "" ""`, ""},
	} {
		for _, p := range protocols() {
			t.Run(name+"/"+p.name, func(t *testing.T) {
				host := appHost
				if name == "verified-again" {
					host = "verifies.viloforge.test"
				}
				got, said := s.webSocket(t, p.name, host, c.target, c.header...)
				if got.status != c.status || said != c.said[:min(len(c.said), 120)] || got.header.Get("Sec-WebSocket-Protocol") != c.selected {
					t.Errorf("answered by %d, %q selected; the backend was sent %q, want %d, %q, %q", got.status, got.header.Get("Sec-WebSocket-Protocol"), said, c.status, c.selected, c.said)
				}
			})
		}
	}
	for _, p := range protocols() {
		got := p.send(s, t, request{host: appHost, target: "/x", header: []string{offer("bearer." + token)}})
		if got.status != http.StatusUnauthorized && got.status != http.StatusFound {
			t.Errorf("%s: no WebSocket, and answered by %v", p.name, got)
		}
	}
	if output := s.output.String(); strings.Contains(output, token[strings.LastIndexByte(token, '.'):]) || strings.Contains(output, "bearer.ey") {
		t.Error("a token is in the log")
	}
}

// TestATokenAsASubprotocolInABrowser: what a page's script can do, by itself or beside a protocol of its own.
func TestATokenAsASubprotocolInABrowser(t *testing.T) {
	t.Parallel()
	backend := subprotocolBackend(t)
	s := (&application{Server: backend}).site(t, map[string]string{"policies/website.yaml": `
host: website.viloforge.localhost
upstream: app
routes:
  - { path: /page, allow: public }
  - { path: /socket, allow: authenticated, bearer: only, websocket: true }
`})
	token := s.client().login("alice").sso()
	tab := browse(t, s).tab()
	tab.open(s.url("website", "/page"))
	for _, c := range []struct{ offered, want string }{
		{`["bearer.%s"]`, `bearer.%s alice "" ""`},
		{`["chat", "bearer.%s"]`, `chat alice "chat" ""`},
		{`["other", "bearer.%s"]`, `bearer.%s alice "other" ""`},
		{`["chat", "bearer.%.20s"]`, "closed 1006"},
		{`["chat"]`, "closed 1006"},
	} {
		fill := func(s string) string {
			if strings.Contains(s, "%") {
				return fmt.Sprintf(s, token)
			}
			return s
		}
		got := tab.evaluate(fmt.Sprintf(`new Promise(done => {
			const socket = new WebSocket("wss://" + location.host + "/socket", %s)
			socket.onmessage = e => done(socket.protocol + " " + e.data)
			socket.onclose = e => done("closed " + e.code)
		})`, fill(c.offered)))
		if want := fill(c.want); got != want {
			t.Errorf("%s: %s, want %s", c.offered, got, want)
		}
	}
	if strings.Contains(s.output.String(), "bearer.ey") {
		t.Error("a token is in the log")
	}
}

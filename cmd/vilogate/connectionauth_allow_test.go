package main_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// ntlmBackend is as IIS is: it logs a connection in by two steps, of which the second answers the challenge that the
// first got on this very connection, and serves every request on it after that as whoever did.
type ntlmBackend struct {
	*httptest.Server
	connections atomic.Int64 // made so far
	open        atomic.Int64
}

// ntlmLogin is what the backend knows of a connection.
type ntlmLogin struct {
	number          int64
	challenge, user string
}

type ntlmKey struct{}

func newNTLMBackend(t *testing.T) *ntlmBackend {
	b := &ntlmBackend{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		login := r.Context().Value(ntlmKey{}).(*ntlmLogin)
		if r.URL.Path == "/never" {
			<-r.Context().Done()
			return
		}
		scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		answer, user, ok := strings.Cut(credentials, ":")
		switch {
		case scheme == "NTLM" && credentials == "hello":
			login.challenge, login.user = rand.Text(), ""
			w.Header().Set("WWW-Authenticate", "NTLM "+login.challenge)
			w.WriteHeader(http.StatusUnauthorized)
		case scheme == "NTLM" && ok && answer == login.challenge && answer != "":
			login.user = user
		case login.user == "":
			w.Header()["WWW-Authenticate"] = []string{"Negotiate", "NTLM"}
			w.WriteHeader(http.StatusUnauthorized)
		}
		if _, err := fmt.Fprintf(w, "%q on %d", login.user, login.number); err != nil {
			t.Log(err)
		}
	}))
	b.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, ntlmKey{}, &ntlmLogin{number: b.connections.Add(1)})
	}
	b.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			b.open.Add(1)
		case http.StateClosed:
			b.open.Add(-1)
		}
	}
	b.Start()
	t.Cleanup(b.Close)
	return b
}

// keptConn is a connection of HTTP/1.1 to the gateway that stays open.
type keptConn struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
	cookie string
}

func keepConn(t *testing.T, s *site) *keptConn { return keepConnFrom(t, s, "") }

// keepConnFrom is keepConn from another address on loopback.
func keepConnFrom(t *testing.T, s *site, address string) *keptConn {
	conn := s.handshakeFrom(t, address, s.tls(appHost, "http/1.1"))
	return &keptConn{t: t, conn: conn, reader: bufio.NewReader(conn)}
}

func (b *keptConn) ask(target string, authorization ...string) answer {
	b.t.Helper()
	r := request{host: appHost, target: target}
	for _, credentials := range authorization {
		r.header = append(r.header, "Authorization: "+credentials)
	}
	if b.cookie != "" {
		r.header = append(r.header, cookieLine(b.cookie))
	}
	if _, err := io.WriteString(b.conn, r.text()); err != nil {
		b.t.Fatal(err)
	}
	return readAnswer(b.t, b.reader, http.MethodGet)
}

// challenge takes the first step of a login, and returns what the second has to answer.
func (b *keptConn) challenge() string {
	b.t.Helper()
	got := b.ask("/in/x", "NTLM hello")
	challenge, ok := strings.CutPrefix(got.header.Get("WWW-Authenticate"), "NTLM ")
	if got.status != http.StatusUnauthorized || !ok {
		b.t.Fatalf("the first step: %v, WWW-Authenticate %q", got, got.header.Values("WWW-Authenticate"))
	}
	return challenge
}

// login takes both steps, and returns what the backend answers from then on.
func (b *keptConn) login(user string) string {
	b.t.Helper()
	got := b.ask("/in/x", "NTLM "+b.challenge()+":"+user)
	if got.status != http.StatusOK || !strings.HasPrefix(got.body, fmt.Sprintf("%q on ", user)) {
		b.t.Fatalf("the login of %s: %v", user, got)
	}
	return got.body
}

const connectionAuthPolicy = `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/in/*rest", allow: public, connection_auth: allow }
  - { path: /never, allow: public, connection_auth: allow, timeout: 1s }
  - { path: "/*rest", allow: public }
`

func connectionAuthSite(t *testing.T, more string) (*site, *ntlmBackend) {
	t.Helper()
	backend := newNTLMBackend(t)
	return serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + more + fmt.Sprintf("\nupstreams: { app: { url: %q } }\n", backend.URL),
		"policies/app.yaml": connectionAuthPolicy,
	}), backend
}

// TestLoginOfAConnectionIsItsClients: with connection_auth: allow, what a client's connection has logged in is used for that
// connection alone, across reloads, and closed with it.
func TestLoginOfAConnectionIsItsClients(t *testing.T) {
	t.Parallel()
	s, backend := connectionAuthSite(t, "")
	s.addUser("alice", "member")
	s.addUser("carol", "member")
	stranger := func() {
		t.Helper()
		for _, p := range protocols() {
			got := p.send(s, t, request{host: appHost, target: "/in/x"})
			if got.status != http.StatusUnauthorized || !strings.HasPrefix(got.body, `"" on `) || strings.Join(got.header.Values("WWW-Authenticate"), ", ") != "Negotiate, NTLM" {
				t.Errorf("a stranger over %s: %v, WWW-Authenticate %q", p.name, got, got.header.Values("WWW-Authenticate"))
			}
		}
	}
	alice, bob := keepConn(t, s), keepConn(t, s)
	for _, b := range []*keptConn{alice, bob} {
		if got := b.ask("/in/x"); got.status != http.StatusUnauthorized || len(got.header.Values("WWW-Authenticate")) != 2 {
			t.Fatalf("without credentials: %v", got)
		}
	}
	first, second := alice.challenge(), bob.challenge() // interleaved, step by step
	stranger()
	who := map[*keptConn]string{}
	who[bob] = bob.ask("/in/x", "NTLM "+second+":bob").body
	who[alice] = alice.ask("/in/x", "NTLM "+first+":alice").body
	if !strings.HasPrefix(who[alice], `"alice" on `) || !strings.HasPrefix(who[bob], `"bob" on `) {
		t.Fatalf("logged in as %s and %s", who[alice], who[bob])
	}
	check := func(when string) {
		t.Helper()
		for range 3 {
			for b, want := range who {
				if got := b.ask("/in/y"); got.status != http.StatusOK || got.body != want || got.header.Get("Cache-Control") != "private" {
					t.Errorf("%s: %v, Cache-Control %q, want %s", when, got, got.header.Get("Cache-Control"), want)
				}
			}
			stranger()
		}
	}
	check("after the login")
	s.must("", "reload", "--state", s.state)
	check("after a reload")

	for _, b := range []*keptConn{alice, bob} { // a route that does not allow it has nothing of it
		if got := b.ask("/x"); got.status != http.StatusUnauthorized || !strings.HasPrefix(got.body, `"" on `) || got.header.Get("WWW-Authenticate") != "" {
			t.Errorf("on a route without the key: %v", got)
		}
		if got := b.ask("/x", "NTLM hello"); got.status != http.StatusForbidden || !strings.HasSuffix(got.problem(t).Type, "/connection-auth") {
			t.Errorf("on a route without the key: %v", got)
		}
	}
	check("after a route without the key")

	if got := s.http2(t, request{host: appHost, target: "/in/x", header: []string{"Authorization: Negotiate YII="}}); got.status != http.StatusMisdirectedRequest || !strings.HasSuffix(got.problem(t).Type, "/connection-auth") {
		t.Errorf("over HTTP/2: %v", got)
	}

	// Somebody else signs in at the gateway, in the same browser: the login goes.
	bob.cookie = s.client().login("alice").sso()
	if got := bob.ask("/in/x"); !strings.HasPrefix(got.body, `"" on `) {
		t.Errorf("after a sign-in: %v", got)
	}
	who[bob] = bob.login("bob")
	check("after a sign-in")
	bob.cookie = s.client().login("carol").sso()
	if got := bob.ask("/in/x"); !strings.HasPrefix(got.body, `"" on `) {
		t.Errorf("after a sign-in of somebody else: %v", got)
	}
	who[bob] = bob.login("bob")

	// A timeout of the route ends the connection, and the login with it.
	if got := bob.ask("/never"); got.status != http.StatusGatewayTimeout {
		t.Errorf("an answer that never comes: %v", got)
	}
	if got := bob.ask("/in/x"); !strings.HasPrefix(got.body, `"" on `) {
		t.Errorf("after the timeout: %v", got)
	}
	who[bob] = bob.login("bob")
	check("after a timeout")

	// What is the client's ends with it.
	before := backend.open.Load()
	closeQuietly(t, alice.conn)
	eventually(t, "alice's connection to the backend is closed", func() bool { return backend.open.Load() < before })
	delete(who, alice)
	check("after alice has gone")
	made := backend.connections.Load()
	writeFiles(t, s.dir, map[string]string{"policies/app.yaml": strings.ReplaceAll(connectionAuthPolicy, "connection_auth: allow", "connection_auth: refuse")})
	s.must("", "reload", "--state", s.state)
	if got := bob.ask("/in/x"); got.status != http.StatusUnauthorized || !strings.HasPrefix(got.body, `"" on `) || backend.connections.Load() > made+1 {
		t.Errorf("after the key has gone: %v", got)
	}
	if got := bob.ask("/in/x", "NTLM hello"); got.status != http.StatusForbidden {
		t.Errorf("after the key has gone: %v", got)
	}
}

// TestConnectionsOfOneClientAreBounded: beyond limits.connection_auth it is 503, until one of them ends.
func TestConnectionsOfOneClientAreBounded(t *testing.T) {
	t.Parallel()
	s, _ := connectionAuthSite(t, "limits: { connection_auth: 2 }\n")
	first, second, third := keepConnFrom(t, s, "127.0.0.2"), keepConnFrom(t, s, "127.0.0.3"), keepConnFrom(t, s, "127.0.0.4")
	first.login("alice")
	second.login("bob")
	if got := third.ask("/in/x", "NTLM hello"); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("the third: %v", got)
	}
	if got := third.ask("/in/x"); got.status != http.StatusUnauthorized {
		t.Errorf("the third, without credentials: %v", got)
	}
	closeQuietly(t, first.conn)
	eventually(t, "there is room for another", func() bool { return third.ask("/in/x", "NTLM hello").status == http.StatusUnauthorized })
	third.login("carol")
}

// TestConnectionsOfOneNetworkAreAQuarter of limits.connection_auth, whose connections a stranger's garbage holds as a login
// does; beyond that it is 503 for this address alone, until one of them ends.
func TestConnectionsOfOneNetworkAreAQuarter(t *testing.T) {
	t.Parallel()
	s, _ := connectionAuthSite(t, "limits: { connection_auth: 8 }\n")
	var held []*keptConn
	for range 2 {
		b := keepConnFrom(t, s, "127.0.0.2")
		if got := b.ask("/in/x", "Negotiate AAAA"); got.status != http.StatusUnauthorized {
			t.Errorf("within the share: %v", got)
		}
		held = append(held, b)
	}
	more := keepConnFrom(t, s, "127.0.0.2")
	for range 7 {
		if got := more.ask("/in/x", "Negotiate AAAA"); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			t.Errorf("beyond the share: %v", got)
		}
	}
	if !strings.Contains(s.output.String(), "all of one network") {
		t.Error("the log does not say so")
	}
	for _, address := range []string{"127.0.0.3", "127.0.0.4"} {
		for range 2 {
			keepConnFrom(t, s, address).login("alice")
		}
	}
	closeQuietly(t, held[0].conn)
	eventually(t, "there is room in the share", func() bool { return more.ask("/in/x", "NTLM hello").status == http.StatusUnauthorized })
	more.login("bob")
}

// TestLoginOfAConnectionAtOneOfSeveralBackends: both steps of a login come to the backend that the first came to, and one
// that is away is passed over.
func TestLoginOfAConnectionAtOneOfSeveralBackends(t *testing.T) {
	t.Parallel()
	one, other := newNTLMBackend(t), newNTLMBackend(t)
	away := listenLoopback(t)
	closeQuietly(t, away)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("upstreams: { app: { urls: [%q, %q, %q] } }\n", "http://"+away.Addr().String(), one.URL, other.URL),
		"policies/app.yaml": connectionAuthPolicy,
	})
	for range 3 { // the addresses go round
		b := keepConn(t, s)
		want := b.login("alice")
		for range 4 {
			if got := b.ask("/in/y"); got.body != want {
				t.Errorf("%v, want %s", got, want)
			}
		}
	}
	one.Close()
	other.Close()
	b := keepConn(t, s)
	for range 2 {
		if got := b.ask("/in/x", "NTLM hello"); got.status != http.StatusBadGateway {
			t.Errorf("with all of them away: %v", got)
		}
	}
}

// TestConnectionOfATrustedProxyIsNobodys: it brings the requests of many people.
func TestConnectionOfATrustedProxyIsNobodys(t *testing.T) {
	t.Parallel()
	s, _ := connectionAuthSite(t, "trusted_proxies: [127.0.0.1]\n")
	proxy := keepConn(t, s)
	if got := proxy.ask("/in/x"); got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") != "" {
		t.Errorf("a challenge: %v, %q", got, got.header.Values("WWW-Authenticate"))
	}
	if got := proxy.ask("/in/x", "NTLM hello"); got.status != http.StatusForbidden || !strings.HasSuffix(got.problem(t).Type, "/connection-auth") {
		t.Errorf("credentials: %v", got)
	}
}

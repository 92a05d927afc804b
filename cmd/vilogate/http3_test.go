package main_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// patientQUIC has a client wait for a busy machine.
func patientQUIC() *quic.Config {
	return &quic.Config{HandshakeIdleTimeout: waitTimeout, MaxIdleTimeout: waitTimeout}
}

// overHTTP3 is the same user agent, with the same cookies, over HTTP/3.
func (c *client) overHTTP3() *client {
	c.tb.Helper()
	transport := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: c.site.roots},
		QUICConfig:      patientQUIC(),
		Dial: func(ctx context.Context, _ string, config *tls.Config, quicConfig *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, c.site.at.HTTP3, config, quicConfig)
		},
	}
	c.tb.Cleanup(func() { closeQuietly(c.tb, transport) })
	other := *c
	other.http = &http.Client{Transport: transport, Jar: c.jar, Timeout: waitTimeout, CheckRedirect: c.http.CheckRedirect}
	return &other
}

// TestHTTP3IsDecidedOnAlike: who signs in over one protocol is known over the other, backends are told of them in the same words,
// and what is refused, too large or revoked is so over both.
func TestHTTP3IsDecidedOnAlike(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": strings.Replace(serveConfig, "listen: {", "listen: { http3: 127.0.0.1:0,", 1) + fmt.Sprintf(
			"\nlogin: { host: login.viloforge.test }\nidp: { database: sqlite, access_token_ttl: 1h }\nupstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes:\n  - { path: \"/*rest\", allow: authenticated, max_body: 1KiB }\n",
	})
	s.addUser("alice", "member")
	nobody := s.client().overHTTP3()
	if got := nobody.get(s.url("app", "/x")); got.status != http.StatusUnauthorized || got.header.Get("X-Request-Id") == "" {
		t.Errorf("nobody: %v", got)
	}
	if got := nobody.open(s.url("app", "/x")); got.status != http.StatusFound || !strings.HasPrefix(got.header.Get("Location"), s.url("login", "/login")) {
		t.Errorf("a navigation: %v", got)
	}
	over2 := s.client()
	if got := over2.get(s.url("app", "/x")); !strings.HasPrefix(got.header.Get("Alt-Svc"), `h3=":`) {
		t.Errorf("HTTP/2 does not tell of HTTP/3: %v", got.header)
	}
	over3 := over2.overHTTP3()
	over3.login("alice")
	for _, c := range []*client{over2, over3} {
		if got := c.do(http.MethodPost, s.url("app", "/a%20b?c"), "hello", "Origin: "+s.url("app", ""), "X-User: admin", "X_User: admin", "X-Other: kept"); got.status != http.StatusOK {
			t.Fatalf("signed in: %v", got)
		}
	}
	seen := backend.all()
	if len(seen) != 2 || seen[0].body != "hello" || seen[1].body != "hello" {
		t.Fatalf("the backend has seen %q", seen)
	}
	for _, name := range []string{"X-User", "X-User-Id", "X-Other", "X-Forwarded-For", "X-Forwarded-Proto", "Content-Length", "Host"} {
		if seen[0].value(name) == "" || seen[0].value(name) != seen[1].value(name) {
			t.Errorf("%s: %q over HTTP/2, %q over HTTP/3", name, seen[0].value(name), seen[1].value(name))
		}
	}
	if first, _, _ := strings.Cut(seen[1].head, "\r\n"); first != "POST /a%20b?c HTTP/1.1" || strings.Contains(strings.ToLower(seen[1].head), "x_user") {
		t.Errorf("forwarded: %q", seen[1].head)
	}
	if got := over3.do(http.MethodPost, s.url("app", "/x"), strings.Repeat("x", 2<<10), "Origin: "+s.url("app", "")); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %v", got)
	}
	if got := over3.do(http.MethodPost, s.url("app", "/x"), "x", "Origin: https://evil.example"); got.status != http.StatusForbidden {
		t.Errorf("another site's POST: %v", got)
	}
	over2.logout("app")
	if got := over3.get(s.url("app", "/x"), cookieLine("revoked")); got.status != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %v", got)
	}
	eventually(t, "there is an access record of each", func() bool { return strings.Count(s.output.String(), `"path":"/a%20b"`) == 2 })
}

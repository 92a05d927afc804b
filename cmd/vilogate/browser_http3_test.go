package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestBrowserOverHTTP3: a person signs in, sends a large body and signs out, all over HTTP/3; who has come over it is known over HTTP/2.
func TestBrowserOverHTTP3(t *testing.T) {
	t.Parallel()
	backend, address := record(t), freeAddress(t)
	s := prepare(t, map[string]string{
		"vilogate.yaml": fmt.Sprintf(`
domain: viloforge.localhost
listen: { https: %q, http3: %[1]q, http: "off", admin: "off" }
state: state
certificates: { source: local }
policies: policies/
login: { host: login.viloforge.localhost }
idp: { database: sqlite }
upstreams: { app: { url: %q } }
`, address, backend.url()),
		"policies/website.yaml": "host: website.viloforge.localhost\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n",
	})
	_, port, _ := strings.Cut(address, ":")
	s.domain, s.port = "viloforge.localhost", ":"+port
	s.start()
	s.addUser("alice", "member")
	// Where an authority is not publicly known, Chromium does without HTTP/3, but for the origins that it is told of.
	b := browse(t, s, chromedp.Flag("disable-quic", false), chromedp.Flag("enable-quic", true), chromedp.Flag("host-resolver-rules", "MAP * 127.0.0.1"),
		chromedp.Flag("origin-to-force-quic-on", "website.viloforge.localhost"+s.port+",login.viloforge.localhost"+s.port)).tab()
	page := s.url("website", "/page?a=b")
	b.open(page)
	b.signIn("alice", passwordOf("alice"))
	b.at(page)
	if protocol := b.evaluate(`performance.getEntriesByType("navigation")[0].nextHopProtocol`); protocol != "h3" {
		t.Errorf("the page came over %q", protocol)
	}
	const large = 3 << 20
	sent := b.evaluate(fmt.Sprintf(`fetch("/upload", { method: "POST", body: "x".repeat(%d) }).then(r => r.status)`, large))
	if seen := backend.with("POST /upload "); sent != "200" || len(seen) != 1 || len(seen[0].body) != large || seen[0].value("X-User") != "alice" {
		t.Errorf("the upload is answered %s, the backend has seen %d", sent, len(seen))
	}
	b.quiet()
	cookie := cookieLine(b.sso())
	if got := s.client().get(page, cookie); got.status != http.StatusOK {
		t.Errorf("over HTTP/2: %v", got)
	}
	b.open(s.url("login", "/logout"))
	b.run("signing out", chromedp.Click(chromedp.CSS("button")))
	b.at(s.url("login", "/logout?done"))
	if got := s.client().get(page, cookie); got.status != http.StatusUnauthorized {
		t.Errorf("over HTTP/2, signed out: %v", got)
	}
	eventually(t, "the requests are recorded", func() bool { return strings.Count(s.output.String(), `"protocol":"HTTP/2"`) == 2 })
	over := map[string]int{}
	for line := range strings.Lines(s.output.String()) {
		record := struct{ Msg, Protocol string }{}
		if json.Unmarshal([]byte(line), &record) == nil && record.Msg == "request" {
			over[record.Protocol]++
		}
	}
	if over["HTTP/2"] != 2 || over["HTTP/3"] < 7 || len(over) != 2 {
		t.Errorf("the requests came over %v", over)
	}
}

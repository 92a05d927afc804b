package main_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// TestWhatBackendsAreToldFitsTheirLimits: however much a token says, no line of it is longer than a real gunicorn takes (8,190
// bytes), and all that the gateway adds is less than what node takes of a whole header (16 KiB), with room for the client's.
func TestWhatBackendsAreToldFitsTheirLimits(t *testing.T) {
	t.Parallel()
	partner, backend, address, dir := newSigner(t), record(t), freeAddress(t), t.TempDir()
	keys := publishKeys(t, partner)
	writeFiles(t, dir, map[string]string{"app.py": "def application(environ, start_response):\n    start_response('200 OK', [('Content-Type', 'text/plain')])\n    return [environ['HTTP_X_USER'].encode()]\n"})
	launch(t, dir, append(os.Environ(), "HOME="+dir), program(t, "gunicorn", "gunicorn"), "--bind", address, "--workers", "1", "app")
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
tokens: { issuers: [ { name: partner, issuer: %q, audience: [for-us], jwks: "%s/.well-known/jwks.json", claims: { roles: groups } } ] }
redis: %q
secret: "a secret of the whole fleet, 32 bytes or more"
upstreams: { app: { url: "http://%s" }, recorder: { url: %q } }
`, partnerISS, keys.URL, redistest.New(t).URL(), address, backend.url()),
		"policies/app.yaml":      "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n",
		"policies/recorder.yaml": "host: recorder.viloforge.test\nupstream: recorder\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n",
	})
	now := time.Now()
	raw := func(changes claims) string { // with < as it is, which the assertion has as six characters
		all := claims{"iss": partnerISS, "aud": "for-us", "sub": "p-1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}.with(changes).json()
		return partner.sign(partner.header(claims{"typ": "JWT"}), strings.NewReplacer(`\u003c`, "<", `\u0026`, "&").Replace(all))
	}
	eventually(t, "gunicorn answers", func() bool {
		return s.http1(t, request{host: appHost, target: "/x", header: []string{bearer(raw(nil))}}).status == http.StatusOK
	})
	roles := func(n, length int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("%s%03d", strings.Repeat("r", length-3), i))
		}
		return all
	}
	for name, c := range map[string]struct {
		changes claims
		status  int
	}{
		"roles of 3.9 KiB":      {claims{"groups": roles(60, 64)}, 200},
		"short roles":           {claims{"groups": roles(250, 12)}, 200},
		"all that is long":      {claims{"groups": roles(60, 64), "name": strings.Repeat("<", 256), "email": strings.Repeat("ü", 120) + "@x.example", "sid": strings.Repeat("s", 255), "sub": strings.Repeat("ü", 127), "preferred_username": strings.Repeat("ü", 127)}, 200},
		"ways of signing in":    {claims{"groups": roles(50, 64), "amr": []string{strings.Repeat("a", 255), strings.Repeat("b", 255), strings.Repeat("<", 255), strings.Repeat("&", 255)}}, 200},
		"too long for anything": {claims{"groups": roles(60, 64), "sub": strings.Repeat("<", 255), "sid": strings.Repeat("<", 255), "preferred_username": strings.Repeat("<", 255)}, 403},
	} {
		token := raw(c.changes)
		for _, p := range protocols() {
			if got := p.send(s, t, request{host: appHost, target: "/x", header: []string{bearer(token)}}); got.status != c.status {
				t.Errorf("%s, a token of %d bytes: got %v, want %d", name, len(token), got, c.status)
			}
			probe := backend.probe(t)
			got := p.send(s, t, request{host: "recorder.viloforge.test", target: "/x", header: []string{probe.header(), bearer(token)}})
			if got.status != c.status {
				t.Errorf("%s: got %v", name, got)
			}
			if got.status != http.StatusOK {
				probe.none()
				continue
			}
			seen := probe.one()
			for line := range strings.Lines(seen.head) {
				if len(line) > 8190 {
					t.Errorf("%s: a line of %d bytes: %.40q", name, len(line), line)
				}
			}
			if len(seen.head) > 16<<10-1<<10 {
				t.Errorf("%s: the whole header has %d bytes", name, len(seen.head))
			}
			backend.forget(probe)
		}
	}
}

// TestRefusedRequestsRecordWhatTheyCarried: the header of another product explains a refusal, more than a request that passes.
func TestRefusedRequestsRecordWhatTheyCarried(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	for _, p := range protocols() {
		got := p.send(s, t, request{host: appHost, target: "/x", header: []string{"X-WEBAUTH-USER: alice", "CF-Connecting-IP: 192.0.2.1", "X-User: alice", "X-Tenant: a"}})
		if got.status != http.StatusUnauthorized {
			t.Fatalf("got %v", got)
		}
		id := got.header.Get("X-Request-Id")
		eventually(t, "the access record", func() bool {
			for line := range strings.Lines(s.output.String()) {
				if !strings.Contains(line, id) {
					continue
				}
				for _, name := range []string{"Cf-Connecting-Ip", "X-Webauth-User", "X-User"} {
					if !strings.Contains(line, name) {
						t.Errorf("%s: the record does not name %s: %s", p.name, name, line)
					}
				}
				if strings.Contains(line, "X-Tenant") {
					t.Errorf("%s: the record names what passes: %s", p.name, line)
				}
				return true
			}
			return false
		})
	}
}

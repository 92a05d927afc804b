package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pythonBackend serves by what the README has for Python: 200 with who asks, or 401.
const pythonBackend = `
import http.server, json, jwt, sys
%s
class Backend(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        who = identity(self.headers.get("X-User-Assertion"))
        self.send_response(401 if who is None else 200)
        self.end_headers()
        self.wfile.write(json.dumps(who).encode())
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
print("ready", server.server_address[1], flush=True)
server.serve_forever()
`

// TestTheLinesForOtherLanguagesAnswer401 where there is no assertion, or a bad one, and know who is signed in.
func TestTheLinesForOtherLanguagesAnswer401(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../upstreams/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(readme), "```python\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("upstreams/README.md has no lines for Python")
	}
	admin := freeAddress(t)
	block = strings.NewReplacer("127.0.0.1:9901", admin, "viloforge.com", "viloforge.test", `"billing"`, `"app"`).Replace(block)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"backend.py": fmt.Sprintf(pythonBackend, block)})
	backend := launch(t, dir, os.Environ(), "/usr/bin/python3", filepath.Join(dir, "backend.py"))
	var port int
	eventually(t, "the backend listens", func() bool {
		_, err := fmt.Sscanf(backend.output.String(), "ready %d", &port)
		return err == nil
	})
	at := fmt.Sprintf("http://127.0.0.1:%d", port)
	s := serve(t, map[string]string{
		"vilogate.yaml":     strings.Replace(serveConfig, `admin: "127.0.0.1:0"`, fmt.Sprintf("admin: %q", admin), 1) + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", at),
		"policies/app.yaml": attackedPolicy,
	})
	s.addUser("alice", "member")
	c := s.client()
	for _, assertion := range []string{"", "X-User-Assertion: ", "X-User-Assertion: x", "X-User-Assertion: a.b.c"} {
		header := []string{}
		if assertion != "" {
			header = append(header, assertion)
		}
		if got := c.get(at+"/", header...); got.status != http.StatusUnauthorized {
			t.Errorf("%q: %v", assertion, got)
		}
	}
	sso := c.login("alice").sso()
	for _, p := range protocols() {
		if got := p.send(s, t, request{host: appHost, target: "/public/x"}); got.status != http.StatusUnauthorized {
			t.Errorf("%s: nobody: %v", p.name, got)
		}
		got := p.send(s, t, request{host: appHost, target: "/x", header: []string{cookieLine(sso)}})
		var who struct {
			User string `json:"preferred_username"`
		}
		if err := json.Unmarshal([]byte(got.body), &who); err != nil || got.status != http.StatusOK || who.User != "alice" {
			t.Errorf("%s: alice: %v, %v", p.name, got, err)
		}
	}
}

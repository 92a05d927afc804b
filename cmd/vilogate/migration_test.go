package main_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// migrating is the README's first move: people sign in at a login page that is somebody else's. %s is the rest.
func migrating(t *testing.T, login string) map[string]string {
	t.Helper()
	return map[string]string{
		"vilogate.yaml": serveConfig + login + fmt.Sprintf(`
tokens:
  issuers:
    - { name: legacy-django, secret: "the JWT_SECRET of the guide's services", algorithm: HS256, cookie: jwt, claims: { user: username, email: email } }
upstreams: { app: { url: %q } }
`, record(t).url()),
		"policies/app.yaml": attackedPolicy,
	}
}

const (
	elsewhere   = "login: { url: \"https://login.viloforge.test/\" }\n"
	loginPolicy = "host: login.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n"
)

// TestTheIdPGoesLast is the README's third move: users are added beside the running gateway, and the reload that has our own
// IdP begin drops nobody, is refused as a whole where it cannot be, and signs people in.
func TestTheIdPGoesLast(t *testing.T) {
	t.Parallel()
	files := migrating(t, elsewhere)
	files["policies/login.yaml"] = loginPolicy
	s := serve(t, files)
	s.addUser("alice", "member")
	if out := s.must("", "user", "list", "--state", s.state); !strings.Contains(out, "alice") {
		t.Errorf("user list: %s", out)
	}
	h2 := s.h2(t, appHost)
	if got := h2.exchange(request{host: appHost, target: "/public/x"}.fields(), ""); got.status != http.StatusOK {
		t.Fatal(got)
	}
	// With the policy of the login host still there, nothing changes.
	write := func(yaml string) {
		writeFiles(t, s.dir, map[string]string{"vilogate.yaml": yaml})
	}
	ours := strings.Replace(files["vilogate.yaml"], elsewhere, "login: { host: login.viloforge.test }\nidp: {}\n", 1)
	write(ours)
	if _, stderr, err := s.command("", "reload", "--state", s.state); err == nil || !strings.Contains(stderr, "login.viloforge.test") {
		t.Errorf("a reload with a policy for the login host: %v, %s", err, stderr)
	}
	if got := s.client().open(s.url("app", "/x")); got.status != http.StatusFound || !strings.HasPrefix(got.header.Get("Location"), "https://login.viloforge.test/?redirect_uri=") {
		t.Errorf("after a refused reload: %v", got)
	}
	if err := os.Remove(filepath.Join(s.dir, "policies", "login.yaml")); err != nil {
		t.Fatal(err)
	}
	if out := s.must("", "reload", "--state", s.state); !strings.Contains(out, "our own identity provider begins") {
		t.Errorf("reload: %s", out)
	}
	c := s.client()
	if got := c.loginAt(s.url("app", "/x"), "alice", passwordOf("alice")); got.status != http.StatusSeeOther || got.header.Get("Location") != s.url("app", "/x") {
		t.Fatalf("login after the reload: %v", got)
	}
	for _, p := range protocols() {
		if got := p.send(s, t, request{host: appHost, target: "/x", header: []string{cookieLine(c.sso())}}); got.status != http.StatusOK {
			t.Errorf("%s: %v", p.name, got)
		}
	}
	if got := h2.exchange(request{host: appHost, target: "/public/x"}.fields(), ""); got.status != http.StatusOK {
		t.Errorf("the connection from before: %v", got)
	}
	s.must("", "user", "unlock", "alice", "--state", s.state)
	if got := s.admin(t, "/readyz"); got.status != http.StatusOK || !strings.Contains(s.admin(t, "/metrics").body, "\nvilogate_logins_total 1\n") {
		t.Errorf("readyz: %v", got)
	}
	// What changes our own IdP takes a restart, and so does its end; a restart finds the same users and sessions.
	for _, yaml := range []string{files["vilogate.yaml"], strings.Replace(ours, "idp: {}", "idp: { session_idle: 1h }", 1)} {
		write(yaml)
		if _, stderr, err := s.command("", "reload", "--state", s.state); err == nil || !strings.Contains(stderr, "takes a restart") {
			t.Errorf("a reload of %s: %v, %s", yaml, err, stderr)
		}
	}
	write(ours)
	if err := s.terminate(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.start()
	if got := s.ask(t, "app", c.sso()); got != http.StatusOK {
		t.Errorf("after a restart: %d", got)
	}
}

// TestUsersAreWhereTheIdPIs: beside a gateway whose IdP is another process, users are added there.
func TestUsersAreWhereTheIdPIs(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "http://127.0.0.1:1", "")
	s := prepare(t, f.files())
	s.startUnready()
	if _, stderr, err := s.command(passwordOf("alice"), "user", "add", "alice", "--email", "a@viloforge.test", "--password-stdin", "--state", s.state); err == nil || !strings.Contains(stderr, "ask the one that has the users") {
		t.Errorf("%v, %s", err, stderr)
	}
}

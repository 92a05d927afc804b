// Package django_test runs the demo service with Debian's Django and gunicorn,
// as a backend team would, and sends it what a gateway and what an attacker
// would send.
package django_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

const (
	python   = "/usr/bin/python3"
	host     = "billing-api.viloforge.com"
	issuer   = "https://viloforge.com"
	audience = "billing"
)

// requirePackages fails where Debian's packages are not installed, and names them.
func requirePackages(t *testing.T) {
	t.Helper()
	for _, p := range []struct{ name, module string }{
		{"python3-django", "django"}, {"gunicorn", "gunicorn"}, {"python3-jwt", "jwt"}, {"python3-cryptography", "cryptography"},
	} {
		if out, err := exec.Command(python, "-c", "import "+p.module).CombinedOutput(); err != nil {
			t.Fatalf("Debian's package %s is missing (apt-get install %s): %v\n%s", p.name, p.name, err, out)
		}
	}
}

// environment is what Python runs with: nothing of the developer's own.
func environment(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1"}, more...)
}

// service is the demo service in its own gunicorn.
type service struct {
	t      *testing.T
	url    string
	client *http.Client
}

// start runs the demo service with the keys at that address or path, and more in its
// environment.
func start(t *testing.T, jwks string, more ...string) *service {
	t.Helper()
	requirePackages(t)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, url: "http://" + listener.Addr().String(), client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       time.Minute,
	}}
	inherited, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, python, "-m", "gunicorn", "--bind", "fd://3", "--graceful-timeout", "1", "--log-level", "warning", "demo.wsgi")
	cmd.Env = environment("DEMO_SECRET_KEY=of the demo", "DEMO_DATABASE="+filepath.Join(t.TempDir(), "demo.sqlite3"), "DEMO_JWKS="+jwks)
	cmd.Env = append(cmd.Env, more...)
	cmd.ExtraFiles = []*os.File{inherited}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its workers are its group
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []io.Closer{listener, inherited} { // gunicorn has them now
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		stop()
		err := cmd.Wait()
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Errorf("ending gunicorn's workers: %v", err)
		}
		if t.Failed() {
			t.Logf("gunicorn ended: %v\n%s", err, output.String())
		}
		if strings.Contains(output.String(), "eyJ") {
			t.Errorf("the log holds a token:\n%s", output.String())
		}
	})
	return s
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request with its header lines as they are, names included. By
// default it is the one a gateway would send for nobody.
func (s *service) send(method, path string, header http.Header, body string) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Host = host
	r.Header = http.Header{"X-Forwarded-Proto": {"https"}, "X-Request-Id": {"request-7"}}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	data, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(data)}
}

// get is a GET with one assertion, or none when it is empty.
func (s *service) get(path, assertion string) answer {
	s.t.Helper()
	if assertion == "" {
		return s.send(http.MethodGet, path, nil, "")
	}
	return s.send(http.MethodGet, path, http.Header{"X-User-Assertion": {assertion}}, "")
}

func (a answer) want(t *testing.T, status int, contains ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
	for _, text := range contains {
		if !strings.Contains(a.body, text) {
			t.Errorf("the body lacks %q: %s", text, a.body)
		}
	}
}

// signer is the key of a gateway, and the address where it publishes it.
type signer struct {
	t    *testing.T
	key  *token.PrivateKey
	jwks string
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := w.Write(token.MarshalSet([]token.PublicKey{key.Public()})); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return signer{t, key, server.URL}
}

// start runs the demo service with the signer's key, and waits until it has it.
func (g signer) start(t *testing.T, more ...string) *service {
	t.Helper()
	s := start(t, g.jwks, more...)
	s.awaitKeys(g)
	return s
}

// awaitKeys waits until the service knows the signer's keys: a look for them may be in vain where the machine is busy.
func (s *service) awaitKeys(g signer) {
	s.t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(2 * time.Minute); s.get("/whoami", g.assert(nil)).status == http.StatusServiceUnavailable; <-again.C {
		if time.Now().After(end) {
			s.t.Fatal("still 503 though the keys are there")
		}
	}
}

// alice is an assertion about alice, good for a minute.
func alice() token.Assertion {
	now := time.Now()
	return token.Assertion{
		Issuer: issuer, Audience: audience, Subject: "id-of-alice", User: "alice", Name: "Alice Ünal", Email: "alice@viloforge.com",
		Session: "session-1", Roles: []string{"member"}, AMR: []string{"pwd"}, AuthTime: now, IssuedAt: now, Expires: now.Add(time.Minute),
	}
}

// assert signs an assertion as the gateway does.
func (g signer) assert(change func(*token.Assertion)) string {
	g.t.Helper()
	a := alice()
	if change != nil {
		change(&a)
	}
	signed, err := g.key.SignAssertion(a)
	if err != nil {
		g.t.Fatal(err)
	}
	return signed
}

package main_test

import (
	"bytes"
	"context"
	"crypto"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// programs are real clients of a site. They reach it by its public names, through a proxy that they are told of, and have a token.
type programs struct {
	t *testing.T
	*site
	home  string
	token string
	proxy string // its address
	env   []string
}

// newPrograms is a site with one backend, at app.viloforge.test, and these routes.
func newPrograms(t *testing.T, backend http.Handler, routes string) *programs {
	t.Helper()
	upstream := httptest.NewServer(backend)
	t.Cleanup(upstream.Close)
	return newProgramsOf(t, upstream.URL, routes)
}

// newProgramsOf is newPrograms with a backend at an address.
func newProgramsOf(t *testing.T, backend, routes string) *programs {
	t.Helper()
	const secret = "a secret of another issuer, of 32 bytes"
	p := &programs{t: t, home: t.TempDir(), token: hs(crypto.SHA256, []byte(secret), `{"alg":"HS256","typ":"JWT"}`,
		claims{"username": "carol", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}.json())}
	p.site = serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("tokens: { issuers: [ { name: legacy, secret: %q, algorithm: HS256, cookie: jwt, claims: { user: username } } ] }\nupstreams: { app: { url: %q } }\n", secret, backend),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes:\n" + routes,
	})
	p.proxy = p.serveProxy()
	p.env = []string{
		"PATH=/usr/bin:/bin", "HOME=" + p.home, "TMPDIR=" + p.home, "LC_ALL=C.UTF-8", "HTTPS_PROXY=http://" + p.proxy, "https_proxy=http://" + p.proxy,
		"CURL_CA_BUNDLE=" + p.at.CA, "SSL_CERT_FILE=" + p.at.CA, "GIT_SSL_CAINFO=" + p.at.CA, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=carol", "GIT_AUTHOR_EMAIL=carol@viloforge.test", "GIT_COMMITTER_NAME=carol", "GIT_COMMITTER_EMAIL=carol@viloforge.test",
	}
	return p
}

// serveProxy serves a proxy (CONNECT) to the site, whatever it is asked for.
func (p *programs) serveProxy() (address string) {
	listener := listenLoopback(p.t)
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "CONNECT", http.StatusMethodNotAllowed)
			return
		}
		to, err := net.Dial("tcp", p.at.HTTPS)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		from, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			p.t.Error(err)
			return
		}
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n") // where it fails, so does the copying
		go func() {
			_, _ = io.Copy(to, from)
			_ = to.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(from, to)
		_, _ = from.Close(), to.Close()
	})}
	go func() { _ = s.Serve(listener) }() // until it is closed
	p.t.Cleanup(func() { closeQuietly(p.t, s) })
	return listener.Addr().String()
}

// bearer is the line with the token.
func (p *programs) bearer() string { return "Authorization: Bearer " + p.token }

// command is a program that is about to run.
func (p *programs) command(stdin, name, debianPackage string, arguments ...string) *exec.Cmd {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	p.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, program(p.t, name, debianPackage), arguments...)
	c.Dir, c.Env, c.Stdin = p.home, p.env, strings.NewReader(stdin)
	return c
}

// run runs a program, and returns what it has said, on both of its streams.
func (p *programs) run(stdin, name, debianPackage string, arguments ...string) (string, error) {
	p.t.Helper()
	out, err := p.command(stdin, name, debianPackage, arguments...).CombinedOutput()
	return string(out), err
}

// must is run of what is to succeed.
func (p *programs) must(stdin, name, debianPackage string, arguments ...string) string {
	p.t.Helper()
	out, err := p.run(stdin, name, debianPackage, arguments...)
	if err != nil {
		p.t.Fatalf("%s %q: %v\n%s", name, arguments, err, out)
	}
	return out
}

// file is a file in the programs' home.
func (p *programs) file(name string) string { return filepath.Join(p.home, name) }

func (p *programs) write(name string, content []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.file(name), content, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// holds fails unless a file is what is wanted.
func (p *programs) holds(name string, want []byte) {
	p.t.Helper()
	if got, err := os.ReadFile(p.file(name)); err != nil || !bytes.Equal(got, want) {
		p.t.Errorf("%s has %d bytes (%v), want %d", name, len(got), err, len(want))
	}
}

// varied are bytes of which no piece is like another.
func varied(n int) []byte {
	b := make([]byte, n)
	for i, x := range b {
		b[i] = x + byte(i*i>>8+i)
	}
	return b
}

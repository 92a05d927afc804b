package main_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// TestGit: a repository behind the gateway is cloned, pushed to and fetched from, by whoever has a token, large pushes too, which have
// chunked bodies.
func TestGit(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	libexec, err := exec.Command(program(t, "git", "git"), "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	server := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(libexec)), "git-http-backend"), Root: "/git",
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=carol"},
	}
	var chunked atomic.Int32
	p := newPrograms(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-User") != "carol" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s %s by %q, with %q", r.Method, r.URL, r.Header.Get("X-User"), r.Header.Get("Authorization"))
		}
		if r.ContentLength < 0 { // which CGI does not know
			chunked.Add(1)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("%s: %v", r.URL, err)
			}
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		server.ServeHTTP(w, r)
	}), `  - { path: "/git/*rest", allow: authenticated, bearer: only }`)
	git := func(arguments ...string) string {
		return p.must("", "git", "git", append([]string{"-c", "http.extraHeader=" + p.bearer(), "-c", "http.version=HTTP/2", "-c", "init.defaultBranch=main"}, arguments...)...)
	}
	const address = "https://app.viloforge.test/git/project.git"
	git("init", "--bare", filepath.Join(root, "project.git"))
	git("clone", address, "first")
	p.write("first/large", varied(6<<20))
	git("-C", "first", "add", "large")
	git("-C", "first", "commit", "-m", "large")
	git("-C", "first", "push", "origin", "HEAD:main")
	if chunked.Load() == 0 {
		t.Error("the push had no chunked body")
	}
	git("-c", "protocol.version=2", "clone", "-b", "main", address, "second")
	p.holds("second/large", varied(6<<20))
	p.write("second/small", []byte("small\n"))
	git("-C", "second", "add", "small")
	git("-C", "second", "commit", "-m", "small")
	git("-C", "second", "push", "origin", "HEAD:main")
	git("-c", "http.version=HTTP/1.1", "-C", "first", "pull", "origin", "main")
	p.holds("first/small", []byte("small\n"))
	if out, err := p.run("", "git", "git", "clone", address, "third"); err == nil || !strings.Contains(out, "uthentication failed") && !strings.Contains(out, "could not read Username") {
		t.Errorf("without a token: %v\n%s", err, out)
	}
	if _, err := os.Stat(p.file("third")); err == nil {
		t.Error("a clone without a token")
	}
}

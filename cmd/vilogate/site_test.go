package main_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// addresses is what a server writes to <state>/addresses.json before it says ready.
type addresses struct {
	HTTPS string `json:"https"`
	HTTP3 string `json:"http3"`
	HTTP  string `json:"http"`
	Admin string `json:"admin"`
	CA    string `json:"ca"`

	ForwardAuth string `json:"forward_auth"`
}

// site is one vilogate server with a folder of its own.
type site struct {
	*process
	dir       string // configuration and policies
	state     string
	arguments []string
	domain    string
	port      string // the public port as it stands in addresses: "" or ":8443"
	at        addresses
	roots     *x509.CertPool
	token     string     // CLOUDFLARE_API_TOKEN in its environment
	more      []string   // of its environment
	program   string     // that is run; "" for binary
	openFiles int        // that it may have (ulimit -n); 0 for as many as this process
	sockets   []*os.File // that it is activated with, as by systemd
}

// serve writes the files (vilogate.yaml, policies/…) and starts `vilogate serve` on them.
func serve(t *testing.T, files map[string]string) *site {
	t.Helper()
	s := prepare(t, files)
	s.start()
	return s
}

// prepare lays a site out without starting it.
func prepare(t *testing.T, files map[string]string) *site {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, files)
	return &site{
		process: &process{tb: t}, dir: dir, state: filepath.Join(dir, "state"), domain: "viloforge.test",
		arguments: []string{"serve", "-c", filepath.Join(dir, "vilogate.yaml")},
	}
}

// develop starts `vilogate dev` on free ports.
func develop(t *testing.T, more ...string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{process: &process{tb: t}, dir: dir, state: filepath.Join(dir, "state"), domain: "viloforge.localhost"}
	s.arguments = append([]string{
		"dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", s.state,
	}, more...)
	s.start()
	_, port, err := net.SplitHostPort(s.at.HTTPS)
	if err != nil {
		t.Fatalf("addresses.json: https %q: %v", s.at.HTTPS, err)
	}
	s.port = ":" + port
	return s
}

// start starts the site's process, again after it has ended, and waits until it says ready.
func (s *site) start() {
	s.tb.Helper()
	s.startAt()
	s.readAddresses()
}

// startAt is start of a site whose addresses are known, and need not be written down.
func (s *site) startAt() {
	s.tb.Helper()
	s.spawn()
	select {
	case <-s.output.ready:
	case <-s.ended:
		s.tb.Fatalf("vilogate %s ended before it was ready: %v", strings.Join(s.arguments, " "), s.err)
	case <-time.After(waitTimeout):
		s.tb.Fatalf("vilogate %s did not become ready", strings.Join(s.arguments, " "))
	}
}

// startUnready starts a process that cannot be ready yet, and waits until its admin listener answers.
func (s *site) startUnready() {
	s.tb.Helper()
	s.spawn()
	eventually(s.tb, "the addresses are written", func() bool {
		_, err := os.Stat(filepath.Join(s.state, "addresses.json"))
		return err == nil || !s.running()
	})
	s.readAddresses()
	eventually(s.tb, "readyz answers", func() bool {
		_, err := s.client().try(http.MethodGet, "http://"+s.at.Admin+"/readyz", "")
		return err == nil || !s.running()
	})
}

// saidReady reports whether the process has printed the line ready.
func (s *site) saidReady() bool {
	select {
	case <-s.output.ready:
		return true
	default:
		return false
	}
}

// spawn starts the process without waiting for anything.
func (s *site) spawn() {
	s.tb.Helper()
	path, arguments := cmp.Or(s.program, binary), s.arguments
	if s.openFiles > 0 {
		path, arguments = "/bin/sh", append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$0" "$@"`, s.openFiles), path}, arguments...)
	}
	if len(s.sockets) > 0 {
		path, arguments = "/bin/sh", append([]string{"-c", fmt.Sprintf(`LISTEN_FDS=%d LISTEN_PID=$$ exec "$0" "$@"`, len(s.sockets)), path}, arguments...)
	}
	s.process = launchWith(s.tb, s.sockets, s.dir, s.environment(), path, arguments...)
	p := s.process
	s.tb.Cleanup(func() { p.checkOutput() })
}

// environment is what every vilogate process of these tests runs with: nothing of the developer's own.
func (s *site) environment() []string {
	environment := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TMPDIR=" + s.dir, "NO_COLOR=1"}
	if s.token != "" {
		environment = append(environment, "CLOUDFLARE_API_TOKEN="+s.token)
	}
	return append(environment, s.more...)
}

func (s *site) readAddresses() {
	s.tb.Helper()
	data, err := os.ReadFile(filepath.Join(s.state, "addresses.json"))
	if err != nil {
		s.tb.Fatal(err)
	}
	s.at = addresses{}
	if err := json.Unmarshal(data, &s.at); err != nil {
		s.tb.Fatalf("addresses.json: %v in %s", err, data)
	}
	if s.at.CA == "" {
		return
	}
	pem, err := os.ReadFile(s.at.CA)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.roots = x509.NewCertPool()
	if !s.roots.AppendCertsFromPEM(pem) {
		s.tb.Fatalf("%s holds no certificate", s.at.CA)
	}
}

// token is anything with the shape of a signed JWT.
var token = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}`)

// checkOutput holds every server of every test to what its log must never show.
func (p *process) checkOutput() {
	said := p.output.String()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:", "goroutine 1 ["} {
		if strings.Contains(said, bad) {
			p.tb.Errorf("%s printed %q:\n%s", p.name, bad, said)
		}
	}
	if found := token.FindString(said); found != "" {
		p.tb.Errorf("%s printed a token: %.40s…", p.name, found)
	}
	if strings.Contains(said, "secret-in-query") {
		p.tb.Errorf("%s printed a query's value", p.name)
	}
}

// command runs `vilogate …` beside the site and returns what it printed.
func (s *site) command(stdin string, arguments ...string) (stdout, stderr string, err error) {
	s.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, commandBinary, arguments...)
	cmd.Dir, cmd.Env = s.dir, s.environment()
	cmd.Stdin = strings.NewReader(stdin)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	return out.String(), problems.String(), err
}

// must runs a command that has to succeed.
func (s *site) must(stdin string, arguments ...string) string {
	s.tb.Helper()
	stdout, stderr, err := s.command(stdin, arguments...)
	if err != nil {
		s.tb.Fatalf("vilogate %s: %v\n%s%s", strings.Join(arguments, " "), err, stdout, stderr)
	}
	return stdout
}

// addUser makes a user whose password is its own name followed by "-password".
func (s *site) addUser(name string, roles ...string) {
	s.tb.Helper()
	arguments := []string{"user", "add", name, "--email", name + "@" + s.domain, "--name", name + " the user", "--password-stdin", "--state", s.state}
	if len(roles) > 0 {
		arguments = append(arguments, "--roles", strings.Join(roles, ","))
	}
	s.must(passwordOf(name)+"\n", arguments...)
}

func passwordOf(name string) string { return name + "-password" }

func writeFiles(tb testing.TB, dir string, files map[string]string) {
	tb.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// copyTree copies a state folder, sockets and locks apart.
func copyTree(tb testing.TB, from, to string) {
	tb.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, info.Mode().Perm())
	})
	if err != nil {
		tb.Fatal(err)
	}
}

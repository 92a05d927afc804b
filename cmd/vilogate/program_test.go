package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// noEnvironment is an environment without a single variable.
func noEnvironment(string) string { return "" }

// program runs a command and returns what it printed.
func program(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, noEnvironment, strings.NewReader(""), &out, io.Discard)
	return out.String(), err
}

// develop starts `vilogate dev` in this process and returns its state folder; the test's end drains it.
func develop(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	ctx, stop := context.WithCancel(context.Background())
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		args := []string{"dev", "--listen", "127.0.0.1:0", "--http", "off", "--admin", "off", "--state", dir}
		err := run(ctx, args, noEnvironment, strings.NewReader(""), write, io.Discard)
		ended <- errors.Join(err, write.Close())
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("dev ended with %v", err)
		}
	})
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		if lines.Text() == "ready" {
			return dir
		}
	}
	t.Fatalf("dev ended before it was ready: %v", <-ended)
	return ""
}

// visitor is a client that trusts the CA of a state folder and finds every host at its address.
func visitor(t *testing.T, dir string) (*http.Client, string) {
	t.Helper()
	var at server.Addresses
	data, err := os.ReadFile(filepath.Join(dir, state.Addresses))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &at); err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(at.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, at.HTTPS)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	_, port, err := net.SplitHostPort(at.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: transport}, ":" + port
}

// A reload, good or bad, costs no request, and a bad one changes nothing.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	dir := develop(t)
	client, port := visitor(t, dir)
	policy := filepath.Join(dir, "policies", "website.yaml")
	good, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var visitors sync.WaitGroup
	for range 4 {
		visitors.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				response, err := client.Get("https://website." + devDomain + port + "/about")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, response.Body)
				if err := errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("status %d, %v", response.StatusCode, err)
				}
			}
		})
	}
	for i := range 20 {
		content := good
		if i%2 == 0 {
			content = bytes.Replace(good, []byte("routes:"), []byte("rutes:"), 1)
		}
		// Put in place whole: dev watches the folder, too.
		if err := errors.Join(os.WriteFile(policy+".new", content, 0o600), os.Rename(policy+".new", policy)); err != nil {
			t.Fatal(err)
		}
		var places strictyaml.Errors
		switch out, err := program(t, "reload", "--state", dir); {
		case i%2 == 0 && !errors.As(err, &places):
			t.Errorf("a bad reload: %q, %v", out, err)
		case i%2 == 1 && err != nil:
			t.Errorf("a good reload: %v", err)
		}
	}
	close(done)
	visitors.Wait()
}

func TestAReloadThatTakesARestartSaysSo(t *testing.T) {
	t.Parallel()
	dir := develop(t)
	path := filepath.Join(dir, "vilogate.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The comment moves everything down, which changes nothing by itself.
	data = append([]byte("# more\n"), append(data, "limits: { streams: 7 }\n"...)...)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = program(t, "reload", "--state", dir)
	var places strictyaml.Errors
	if !errors.As(err, &places) || len(places) != 1 || !strings.Contains(places[0].Msg, "`limits` has changed, which takes a restart") {
		t.Errorf("got %v", err)
	}
}

func TestWhatACommandDoesWithoutAServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	args := []string{"user", "add", "carol", "--email", "carol@example.com", "--roles", "b,a", "--password-stdin", "--json", "--state", dir}
	if err := run(t.Context(), args, noEnvironment, strings.NewReader("a long password\r\n"), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `"user": "carol"`) || strings.Contains(out.String(), "password\"") {
		t.Errorf("added: %s", out.String())
	}
	for _, c := range []struct {
		args string
		want string
	}{
		{"user list", "carol"},
		{"user roles carol x", `"x"`},
		{"user show carol --json", `"x"`},
		{"user disable carol", "disabled"},
		{"user show carol", "disabled"},
		{"user enable carol", "again"},
		{"user unlock carol", "at once"},
		{"session list --json", "[]"},
		{"session revoke --user carol", "0 session(s)"},
		{"keys list --json", "[]"},
		{"user delete carol", "deleted"},
		{"user list --json", "[]"},
	} {
		out, err := program(t, append(strings.Fields(c.args), "--state", dir)...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %q, %v", c.args, out, err)
		}
	}
	for args, want := range map[string]string{
		"user show carol":         "no such user",
		"session revoke nonesuch": "no such session",
		"reload":                  "no server is running",
		"user passwd carol":       "--password-stdin",
	} {
		if out, err := program(t, append(strings.Fields(args), "--state", dir)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v", args, out, err)
		}
	}
}

func TestCompletionKnowsEveryCommand(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		out, err := program(t, "completion", shell)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"dev", "serve", "passwd", "unlock", "revoke", "--password-stdin", "inventory"} {
			if !strings.Contains(out, word) {
				t.Errorf("%s does not know %s", shell, word)
			}
		}
	}
}

func TestACommandLineThatMakesNoSense(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"frobnicate", "user", "user add x", "session revoke", "backend nothing", "dev --listen 0.0.0.0:0", "backend billing", "user list --state a -c b"} {
		if _, err := program(t, strings.Fields(args)...); exitCode(err) != 2 {
			t.Errorf("%s: %v", args, err)
		}
	}
	for _, args := range []string{"", "--help", "user add --help", "version"} {
		if out, err := program(t, strings.Fields(args)...); err != nil || out == "" {
			t.Errorf("%q: %q, %v", args, out, err)
		}
	}
}

package control_test

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/cmd/vilogate/control"
)

// asNobody is a Python program that another user runs. Only root can start one.
func asNobody(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	setpriv := []string{"--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", program}
	return exec.Command("setpriv", append(setpriv, args...)...)
}

// openFolder is a folder that everybody can enter and write to, as no state folder is.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vilogate-control-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Whoever got a socket into the place of the server's is told nothing.
func TestNothingIsSaidToAnotherUsersSocket(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("a second user is needed, and only root can become one: sudo make test")
	}
	dir := openFolder(t)
	thief := asNobody(t, `import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(5); print("listening", flush=True)
c, _ = s.accept(); print("got", c.recv(65536), flush=True)`, filepath.Join(dir, "control.sock"))
	out, err := thief.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := thief.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the other user does not listen")
	}
	client, err := control.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = client.Call(t.Context(), "user/passwd", greeting{"a secret"}, new(string))
	if err == nil || !strings.Contains(err.Error(), "uid 65534") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
	if !lines.Scan() || lines.Text() != "got b''" {
		t.Errorf("the other user %s", lines.Text())
	}
	if err := errors.Join(client.Close(), thief.Wait()); err != nil {
		t.Error(err)
	}
}

// Should the modes of the folder and its socket be lost, other users are still refused.
func TestAnotherUserIsNotAnswered(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("a second user is needed, and only root can become one: sudo make test")
	}
	dir := openFolder(t)
	called := false
	var m control.Mux
	control.Handle(&m, "greet", func(context.Context, control.Nothing) (string, error) { called = true; return "hello", nil })
	server, err := control.Listen(dir, &m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	socket := filepath.Join(dir, "control.sock")
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := asNobody(t, `import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
try:
    s.sendall(b"POST /greet HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); print(s.recv(100))
except OSError: print(b"")`, socket).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "b''" {
		t.Errorf("%s, %v", out, err)
	}
	if err := errors.Join(server.Close(), <-ended); err != nil || called {
		t.Errorf("called: %v, %v", called, err)
	}
}

package http2

import (
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// h2spec is the executable of the conformance suite, which deploy/tools pins.
func h2spec(t *testing.T) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	modfile := filepath.Join(strings.TrimSpace(string(root)), "deploy", "tools", "go.mod")
	path, err := exec.CommandContext(t.Context(), "go", "tool", "-modfile="+modfile, "-n", "github.com/summerwind/h2spec/cmd/h2spec").Output()
	if err != nil {
		t.Fatalf("building h2spec from deploy/tools: %v", err)
	}
	return strings.TrimSpace(string(path))
}

// TestH2spec is the public conformance suite, in its strict mode.
func TestH2spec(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		if _, err := io.WriteString(w, "hello"); err != nil {
			panic(http.ErrAbortHandler)
		}
	}, nil)
	address, _ := listen(t, s)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), h2spec(t), "--strict", "--timeout", "10", "--tls", "--insecure", "--port", port).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "146 tests, 146 passed") {
		t.Errorf("%v\n%s", err, out)
	}
}

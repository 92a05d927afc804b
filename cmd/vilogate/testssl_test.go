package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/edge/acme/acmetest"
)

// causedByTheAuthority are findings about an authority for tests: it is in no store, and publishes nothing.
var causedByTheAuthority = []string{"cert_chain_of_trust", "cert_revocation", "engine_problem"}

// testsslChecks are those whose findings depend on what is configured here: protocol versions, cipher suites by category, what
// the server and its certificates say of themselves, renegotiation, and session tickets. The others look for faults of
// libraries that are not in use, or rate and simulate without a finding, and take twice as long as these.
var testsslChecks = []string{"--protocols", "--std", "--server-defaults", "--renegotiation", "--ticketbleed"}

// TestTLSAsTestsslSeesIt: testssl.sh has no finding of MEDIUM or above but those that the authority is to blame for.
func TestTLSAsTestsslSeesIt(t *testing.T) {
	t.Parallel()
	path := program(t, "testssl", "testssl.sh")
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	s := prepare(t, authorityConfig(w, record(t).url(), ""))
	s.start()
	eventually(t, "the gateway is ready", func() bool { return s.admin(t, "/readyz").status == http.StatusOK })
	dir := t.TempDir()
	root, findings := filepath.Join(dir, "root.pem"), filepath.Join(dir, "findings.json")
	if err := os.WriteFile(root, w.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(s.at.HTTPS)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute) // ends it when it hangs
	defer cancel()
	cmd := exec.CommandContext(ctx, path, slices.Concat(testsslChecks, []string{
		"--quiet", "--color", "0", "--warnings", "off", "--severity", "MEDIUM",
		"--add-ca", root, "--jsonfile", findings, "--ip", "127.0.0.1", "app.viloforge.test:" + port,
	})...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TERM=dumb", "MAX_WAITSOCK=15", "HEADER_MAXSLEEP=15")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("testssl: %v\n%s", err, out)
	}
	data, err := os.ReadFile(findings)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var all []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	if !strings.Contains(string(out), "Rating") && !strings.Contains(string(out), "Testing") {
		t.Errorf("testssl did not get through:\n%s", out)
	}
	for _, f := range all {
		if !slices.Contains(causedByTheAuthority, f.ID) {
			t.Errorf("%s: %s: %s", f.Severity, f.ID, f.Finding)
		}
	}
}

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/edge"
)

// The distribution's own tool takes the CA over, and gives it up again. Its folders are the test's.
func TestTheSystemTrustsTheLocalCA(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("update-ca-certificates"); err != nil {
		t.Fatal("update-ca-certificates is missing: apt-get install ca-certificates")
	}
	state, local, etc := t.TempDir(), t.TempDir(), t.TempDir()
	if _, err := edge.OpenLocalCA(state, devDomain, []string{devDomain}, time.Now); err != nil {
		t.Fatal(err)
	}
	ca, err := readLocalCA(state)
	if err != nil {
		t.Fatal(err)
	}
	store := system{true, local, []string{"update-ca-certificates", "--localcertsdir", local, "--etccertsdir", etc, "--hooksdir", t.TempDir()}}
	bundle := func() string {
		data, err := os.ReadFile(filepath.Join(etc, "ca-certificates.crt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if said, err := store.add(ca); err != nil || !strings.Contains(said, "is trusted") || !strings.Contains(bundle(), string(ca.pem)) {
		t.Errorf("trust: %q, %v", said, err)
	}
	if said, err := store.remove(ca); err != nil || !strings.Contains(said, "no longer trusted") || strings.Contains(bundle(), string(ca.pem)) {
		t.Errorf("untrust: %q, %v", said, err)
	}
	if said, err := store.remove(ca); err != nil || !strings.Contains(said, "was not trusted") {
		t.Errorf("again: %q, %v", said, err)
	}
	store.root = false
	if said, err := store.add(ca); err != nil || !strings.Contains(said, "sudo cp "+ca.path) {
		t.Errorf("without root: %q, %v", said, err)
	}
	if left, err := filepath.Glob(filepath.Join(local, "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

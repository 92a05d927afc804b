package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestWhatOpsStartFromIsGood checks every configuration of deploy/ with the
// binary, and that the policies of compose are the shipped ones.
func TestWhatOpsStartFromIsGood(t *testing.T) {
	const deploy = "../../deploy"
	shipped, err := filepath.Glob("../../policies/viloforge.com/*.yaml")
	if err != nil || len(shipped) == 0 {
		t.Fatalf("no shipped policies: %v", err)
	}
	etc := t.TempDir()
	if err := os.Mkdir(filepath.Join(etc, "policies"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range shipped {
		data, name := readFile(t, path), filepath.Base(path)
		writeFile(t, filepath.Join(etc, "policies", name), data)
		want := bytes.ReplaceAll(data, []byte("viloforge.com"), []byte("viloforge.localhost"))
		if got := readFile(t, filepath.Join(deploy, "compose", "policies", name)); !bytes.Equal(got, want) {
			t.Errorf("deploy/compose/policies/%s is not the shipped file for viloforge.localhost", name)
		}
	}
	for _, name := range []string{"vilogate.yaml", "idp.yaml"} {
		writeFile(t, filepath.Join(etc, name), readFile(t, filepath.Join(deploy, name)))
	}
	for _, path := range []string{
		filepath.Join(etc, "vilogate.yaml"), filepath.Join(etc, "idp.yaml"),
		filepath.Join(deploy, "compose", "gateway.yaml"), filepath.Join(deploy, "compose", "idp.yaml"),
	} {
		if out, err := exec.Command(commandBinary, "check", "--no-secrets", "-c", path).CombinedOutput(); err != nil {
			t.Errorf("check -c %s: %v\n%s", path, err, out)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestPolicyCommandsEndAtASignal: a policy command that is busy ends at the first signal, and does not wait for its work.
func TestPolicyCommandsEndAtASignal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	if err := syscall.Mkfifo(log, 0o600); err != nil {
		t.Fatal(err)
	}
	policies := filepath.Join(dir, "policies")
	if err := os.Mkdir(policies, 0o700); err != nil {
		t.Fatal(err)
	}
	policy := "host: a.example.com\nupstream: a\nroutes: [{ path: /, allow: authenticated }]\n"
	if err := os.WriteFile(filepath.Join(policies, "a.yaml"), []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), commandBinary, "policy", "replay", policies, "--old", policies, "--log", log)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	held, err := os.OpenFile(log, os.O_WRONLY, 0) // waits until the command reads, and then says nothing
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", err)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}

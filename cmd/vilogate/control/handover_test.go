package control_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/viloforge/vilogate/cmd/vilogate/control"
)

// TestTheSocketChangesHands: while it is paused whoever asks is told that nobody answers; who took the listener answers then, and the
// socket is there until that one closes.
func TestTheSocketChangesHands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	named := func(name string) *control.Mux {
		var m control.Mux
		control.Handle(&m, "name", func(context.Context, control.Nothing) (string, error) { return name, nil })
		return &m
	}
	log := slog.New(slog.DiscardHandler)
	first, err := control.Listen(dir, named("first"), log)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { ended <- first.Serve() }()
	ask := func() (name string, err error) {
		client, err := control.Dial(dir)
		if err != nil {
			return "", err
		}
		err = client.Call(t.Context(), "name", control.Nothing{}, &name)
		return name, errors.Join(err, client.Close())
	}
	raw, err := first.Listener().SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var copied int
	if err := raw.Control(func(fd uintptr) { copied, err = syscall.Dup(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	second, err := control.Take(dir, os.NewFile(uintptr(copied), "control"), named("second"), log)
	if err != nil {
		t.Fatal(err)
	}
	first.Pause()
	if name, err := ask(); !errors.Is(err, control.ErrUnreachable) {
		t.Errorf("paused: %q, %v", name, err)
	}
	first.Resume()
	if name, err := ask(); name != "first" || err != nil {
		t.Errorf("resumed: %q, %v", name, err)
	}
	first.Pause()
	go func() { ended <- second.Serve() }()
	if err := errors.Join(first.Leave(), <-ended, first.Close()); err != nil {
		t.Error(err)
	}
	if name, err := ask(); name != "second" || err != nil {
		t.Errorf("handed over: %q, %v", name, err)
	}
	if err := errors.Join(second.Close(), <-ended); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "control.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

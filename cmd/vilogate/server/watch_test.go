package server

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestChangesAreSeen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "vilogate.yaml"), filepath.Join(dir, "policies")
	write := func(path string) {
		t.Helper()
		// As editors do: beside it, then in its place.
		if err := errors.Join(os.WriteFile(path+".new", []byte(time.Now().String()), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	write(file)
	ctx, stop := context.WithCancel(t.Context())
	seen, ended := make(chan struct{}, 100), make(chan error, 1)
	go func() { ended <- watch(ctx, file, folder, func() { seen <- struct{}{} }) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	below := filepath.Join(folder, "team")
	for name, change := range map[string]func(){
		"the configuration": func() { write(file) },
		"a policy":          func() { write(filepath.Join(folder, "a.yaml")) },
		"a new folder of policies": func() {
			if err := os.MkdirAll(below, 0o700); err != nil {
				t.Error(err)
			}
		},
	} {
		// The watch may not have begun yet: the change is made until it is seen.
		tick := time.NewTicker(300 * time.Millisecond)
		change()
		for waiting := true; waiting; {
			select {
			case <-seen:
				waiting = false
			case <-tick.C:
				if name != "a new folder of policies" {
					change()
				} else if err := errors.Join(os.RemoveAll(below), os.MkdirAll(below, 0o700)); err != nil {
					t.Error(err)
				}
			case err := <-ended:
				t.Fatalf("%s: the watch ended: %v", name, err)
			}
		}
		tick.Stop()
	}
}

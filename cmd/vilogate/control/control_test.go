package control_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

type greeting struct {
	Name string `json:"name"`
}

func listen(t *testing.T, dir string) *control.Client {
	t.Helper()
	var m control.Mux
	control.Handle(&m, "greet", func(_ context.Context, in greeting) (string, error) {
		switch in.Name {
		case "":
			return "", errors.New("nobody is called nothing")
		case "yaml":
			return "", fmt.Errorf("reloading: %w", strictyaml.Errors{{Place: strictyaml.Place{File: "f", Line: 1, Column: 2}, Msg: "bad"}})
		}
		return "hello " + in.Name, nil
	})
	server, err := control.Listen(dir, &m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), <-ended); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "control.sock")); err == nil {
			t.Error("the socket is still there")
		}
	})
	client, err := control.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

func TestAnswersAndErrorsArrive(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long", 40))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		client := listen(t, dir)
		var hello string
		if err := client.Call(t.Context(), "greet", greeting{"alice"}, &hello); err != nil || hello != "hello alice" {
			t.Errorf("%q, %v", hello, err)
		}
		if err := client.Call(t.Context(), "greet", greeting{}, &hello); err == nil || err.Error() != "nobody is called nothing" {
			t.Errorf("got %v", err)
		}
		var places strictyaml.Errors
		if err := client.Call(t.Context(), "greet", greeting{"yaml"}, &hello); !errors.As(err, &places) || places[0].Place.Column != 2 {
			t.Errorf("got %v", err)
		}
		if err := client.Call(t.Context(), "greet", map[string]int{"nmae": 1}, &hello); err == nil || !strings.Contains(err.Error(), "nmae") {
			t.Errorf("got %v", err)
		}
		if err := client.Call(t.Context(), "dance", greeting{}, &hello); err == nil || !strings.Contains(err.Error(), "dance") {
			t.Errorf("got %v", err)
		}
	}
}

func TestOnlyTheOwnerMayOpenTheSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	listen(t, dir)
	info, err := os.Stat(filepath.Join(dir, "control.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestASocketOfADeadProcessIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "control.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen(t, dir)
}

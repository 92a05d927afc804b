package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

func TestADurationInALogSaysItsUnit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	newLog(&out).With("age", 2*time.Second).Info("x", "duration", 1500*time.Microsecond, "wait_ms", time.Millisecond, "count", 7)
	for _, want := range []string{`"age_ms":2000,`, `"duration_ms":1.5,`, `"wait_ms":1,`, `"count":7}`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, out.String())
		}
	}
}

func TestDemoUsersAreOfTheDomain(t *testing.T) {
	t.Parallel()
	for _, u := range demoUsers("foo.localhost") {
		if u.Email != u.Name+"@foo.localhost" {
			t.Errorf("%s has the address %s", u.Name, u.Email)
		}
	}
}

// An identity provider alone keeps the limits that its file sets.
func TestAPlainServerKeepsTheLimits(t *testing.T) {
	t.Parallel()
	limits := config.Limits{HeaderBytes: 8 << 10, HeaderTime: strictyaml.Duration(2 * time.Minute), IdleTime: strictyaml.Duration(time.Second)}
	s := newPlainServer(http.NotFoundHandler(), nil, limits, slog.New(slog.DiscardHandler))
	if s.MaxHeaderBytes != 8<<10 || s.ReadHeaderTimeout != 2*time.Minute || s.ReadTimeout < s.ReadHeaderTimeout || s.IdleTimeout != time.Second {
		t.Errorf("got %+v", s.Server)
	}
}

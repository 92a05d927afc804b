package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestADurationInALogSaysItsUnit(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := newLog(&out)
	log.With("age", 2*time.Second).Info("x", "duration", 1500*time.Microsecond, "wait_ms", time.Millisecond, "count", 7)
	log.close()
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

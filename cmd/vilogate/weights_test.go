package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestWeightsAndDraining: requests go by weight; a reload drains an address, which is checked on and has no more of them, and
// gives it back, which it grows into.
func TestWeightsAndDraining(t *testing.T) {
	t.Parallel()
	a, b := newCheckedBackend(t, "a"), newCheckedBackend(t, "b")
	config := func(weight int) string {
		return fmt.Sprintf("app: { urls: [ { url: \"http://%s\", weight: %d }, \"http://%s\" ], slow_start: 1h, health: { path: /healthz, interval: 2s, timeout: 2s, unhealthy: 3, healthy: 1 } }", a.address(), weight, b.address())
	}
	s := toBackends(t, nil, config(3))
	for _, protocol := range []string{"http/1.1", "h2"} {
		client := newClient(t, s, s.tls("", protocol))
		got := map[string]int{}
		for range 400 {
			answer := client.get(s.url("app", "/public/x"))
			if answer.status != http.StatusOK {
				t.Errorf("%v", answer)
			}
			got[answer.body]++
		}
		if got["a"] < 240 || got["a"] > 360 {
			t.Errorf("%s: of 400 requests %v, want 3 to 1", protocol, got)
		}
	}
	reload := func(weight int) {
		writeFiles(t, s.dir, map[string]string{"vilogate.yaml": serveConfig + ownIdP + "upstreams:\n  " + config(weight) + "\n"})
		s.must("", "reload", "--state", s.state)
	}
	reload(0)
	before := a.asked.Load()
	client := s.client()
	for range 50 {
		client.get(s.url("app", "/public/x"))
	}
	if n := a.asked.Load() - before; n != 0 {
		t.Errorf("%d requests went to a drained address", n)
	}
	if said := s.must("", "status", "--state", s.state); !strings.Contains(said, "0 (drained)") {
		t.Errorf("vilogate status: %s", said)
	}
	state := func() string { return s.addressStates(t)["app "+a.address()].State }
	a.status.Store(http.StatusServiceUnavailable)
	eventually(t, "it is unhealthy", func() bool { return state() == "unhealthy" })
	a.status.Store(http.StatusOK)
	eventually(t, "it is healthy", func() bool { return state() == "healthy" })
	reload(1)
	if said := s.must("", "status", "--state", s.state); !strings.Contains(said, "1 (slow start, 10 %)") {
		t.Errorf("vilogate status: %s", said)
	}
	line := fmt.Sprintf("vilogate_upstream_address_weight{address=%q,upstream=\"app\"} 0.1\n", a.address())
	if metrics := s.admin(t, "/metrics").body; !strings.Contains(metrics, line) {
		t.Errorf("the metrics have no line %s", line)
	}
	before = a.asked.Load()
	for range 200 {
		client.get(s.url("app", "/public/x"))
	}
	if n := a.asked.Load() - before; n > 60 {
		t.Errorf("%d of 200 requests went to an address that has just come back", n)
	}
}

package main_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestExplainTellsHowTheUpstreamIs: while the server runs, of a request that is admitted; not of one that is refused, nor without it.
func TestExplainTellsHowTheUpstreamIs(t *testing.T) {
	t.Parallel()
	live, dead := newCheckedBackend(t, "a").address(), freeAddress(t)
	s := toBackends(t, nil, fmt.Sprintf("app: { urls: [%q, %q], concurrency: 7 }", "http://"+live, "http://"+dead))
	client := s.client()
	eventually(t, "one address is ejected", func() bool {
		client.get(s.url("app", "/public/x"))
		return s.addressStates(t)["app "+dead].State == "ejected"
	})
	explain := func(path string, more ...string) string {
		return s.must("", append([]string{"policy", "explain", "-c", filepath.Join(s.dir, "vilogate.yaml"), "https://app.viloforge.test" + path}, more...)...)
	}
	said := explain("/public/x")
	for _, want := range []string{
		"  to the upstream app\n", "the upstream, as the running server sees it\n", "  " + live + ": healthy, weight 1, 0 requests in flight\n",
		"  " + dead + ": ejected, weight 1, 0 requests in flight (dial: ", "  0 of 7 requests under way, 0 wait\n",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("said %s\nwithout %q", said, want)
		}
	}
	var e struct {
		Upstream string
		State    struct{ Addresses []addressState } `json:"upstream_state"`
	}
	if err := json.Unmarshal([]byte(explain("/public/x", "--json")), &e); err != nil || e.Upstream != "app" || len(e.State.Addresses) != 2 {
		t.Errorf("%+v, %v", e, err)
	}
	if said := explain("/private"); strings.Contains(said, "upstream") {
		t.Errorf("of a request that is refused: %s", said)
	}
	s.kill()
	if said := explain("/public/x"); !strings.Contains(said, "to the upstream app") || strings.Contains(said, "healthy") {
		t.Errorf("without a server: %s", said)
	}
}

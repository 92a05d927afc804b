package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/viloforge/vilogate/gateway/audit"
)

// generationPolicies are two hosts whose every answer tells by which generation it was made: by the header that the
// backend received, by the header that the answer has, by the upstream that was asked, and by who may.
func generationPolicies(name, open, closed string) map[string]string {
	files := map[string]string{}
	for _, host := range []string{"app", "other"} {
		files["policies/"+host+".yaml"] = fmt.Sprintf(`
host: %s.viloforge.test
upstream: %s
defaults: { headers: { request: { set: { X-Generation: %s } }, response: { set: { X-Generation: %[3]s } } } }
routes:
  - { path: %s, allow: public }
  - { path: %s, allow: deny }
  - { path: /both, allow: public }
`, host, name, name, open, closed)
	}
	return files
}

// TestFortyReloadsUnderLoad, of good and broken folders in turn: no request fails, no connection is dropped, and
// none is decided by a mixture of two generations.
func TestFortyReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	upstreams := ""
	for _, name := range []string{"a", "b"} {
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s", name, r.Header.Get("X-Generation"))
		}))
		t.Cleanup(backend.Close)
		upstreams += fmt.Sprintf("%s: { url: %q }, ", name, backend.URL)
	}
	policies := map[string]map[string]string{"a": generationPolicies("a", "/one", "/two"), "b": generationPolicies("b", "/two", "/one")}
	files := map[string]string{"vilogate.yaml": serveConfig + "audit: { file: audit.log }\nupstreams: { " + strings.TrimSuffix(upstreams, ", ") + " }\n"}
	for name, text := range policies["a"] {
		files[name] = text
	}
	s := serve(t, files)

	done := make(chan struct{})
	var clients sync.WaitGroup
	var asked [2]atomic.Int64 // by whether it was let through
	for i := range 2 {
		protocol := []string{"http/1.1", "h2"}[i%2]
		c := newClient(t, s, s.tls("", protocol))
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				path := []string{"/one", "/two", "/both"}[n%3]
				got, err := c.try(http.MethodGet, s.url([]string{"app", "other"}[n%2], path), "")
				switch marker := got.header.Get("X-Generation"); {
				case err != nil:
					t.Errorf("%s: a request failed: %v", protocol, err)
					return
				case got.status == http.StatusForbidden && path != "/both":
					asked[0].Add(1)
				case got.status != http.StatusOK || got.body != marker+" "+marker || path == "/one" && marker != "a" || path == "/two" && marker != "b":
					t.Errorf("%s %s: decided by a mixture: %v", protocol, path, got)
					return
				default:
					asked[1].Add(1)
				}
			}
		})
	}
	generations := map[string]string{object[struct{ Policies string }](t, s.admin(t, "/status")).Policies: "a"}
	for i := range 40 {
		next := []string{"b", "broken", "a", "broken"}[i%4]
		folder := policies[next]
		if next == "broken" {
			folder = map[string]string{"policies/other.yaml": strings.Replace(policies["b"]["policies/other.yaml"], "allow: deny", "allow: maybe", 1)}
		}
		writeFiles(t, s.dir, folder)
		_, said, err := s.command("", "reload", "--state", s.state)
		switch {
		case next == "broken" && (err == nil || !strings.Contains(said, "policies/other.yaml:7:26")):
			t.Fatalf("reload %d took what is broken: %s", i, said)
		case next != "broken" && err != nil:
			t.Fatalf("reload %d: %v %s", i, err, said)
		case next != "broken" && i < 4:
			generations[object[struct{ Policies string }](t, s.admin(t, "/status")).Policies] = next
		}
	}
	close(done)
	clients.Wait()
	t.Logf("%d requests were let through and %d refused during 40 reloads", asked[1].Load(), asked[0].Load())
	if asked[0].Load() < 100 || asked[1].Load() < 100 || len(generations) != 2 {
		t.Errorf("%d and %d requests by %d generations show nothing", asked[1].Load(), asked[0].Load(), len(generations))
	}
	checkGenerations(t, s.dir+"/audit.log", generations, asked[0].Load()+asked[1].Load())
}

// checkGenerations holds every record to the policies that it names.
func checkGenerations(t *testing.T, log string, generations map[string]string, requests int64) {
	t.Helper()
	eventually(t, "all records are written", func() bool {
		var n int64
		for _, err := range audit.ReadAll(log) {
			if err == nil {
				n++
			}
		}
		return n >= requests
	})
	seen := map[string]int{}
	for r, err := range audit.ReadAll(log) {
		if err != nil {
			t.Fatal(err)
		}
		name := generations[r.Generation]
		seen[name]++
		open := map[string]string{"a": "/one", "b": "/two"}[name]
		if want := map[bool]string{true: "allow", false: "deny"}[r.Path == open || r.Path == "/both"]; name == "" || r.Decision != want {
			t.Errorf("generation %q: %+v", name, r)
		}
	}
	if seen["a"] == 0 || seen["b"] == 0 {
		t.Errorf("records by generation: %v", seen)
	}
}

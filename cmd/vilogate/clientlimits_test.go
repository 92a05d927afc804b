package main_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestOneClientHasSoManyRequestsUnderWay: the streams of its connections are bounded together; others, and its own login, are not
// kept out.
func TestOneClientHasSoManyRequestsUnderWay(t *testing.T) {
	t.Parallel()
	b := newHeldBackend(t)
	s := toBackends(t, map[string]string{}, fmt.Sprintf("app: { url: %q }\nlimits: { client_requests: 20 }", b.URL))
	s.addUser("alice", "member")
	browser := s.client().login("alice")
	for _, protocol := range []string{"http/1.1", "h2"} {
		all := []*heldRequests{
			hold(t, newClient(t, s, s.tls("", protocol)), s.url("app", "/public/held"), 15),
			hold(t, newClient(t, s, s.tls("", protocol)), s.url("app", "/public/held"), 15),
		}
		refused := 0
		for refused < 10 {
			select {
			case got := <-all[0].answers:
				refused++
				wantTooMany(t, got)
			case got := <-all[1].answers:
				refused++
				wantTooMany(t, got)
			}
		}
		s.awaitLoad(t, 20, 0)
		if got := s.client().from("127.0.0.2").get(s.url("app", "/public/x")); got.status != http.StatusOK {
			t.Errorf("%s: another client: %v", protocol, got)
		}
		if got := browser.get(s.url("app", "/x")); got.status != http.StatusOK {
			t.Errorf("%s: somebody who is signed in, at the same address: %v", protocol, got)
		}
		if got := s.client().fresh().login("alice").get(s.url("app", "/x")); got.status != http.StatusOK {
			t.Errorf("%s: somebody who signs in: %v", protocol, got)
		}
		for _, h := range all {
			h.cancel()
		}
		s.awaitLoad(t, 0, 0)
	}
	if metrics := s.admin(t, "/metrics").body; !strings.Contains(metrics, "vilogate_requests_refused_total{reason=\"client\"} 20\n") {
		t.Error("the metrics do not tell what was refused")
	}
}

func wantTooMany(t *testing.T, got answer) {
	t.Helper()
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("%v, want 429", got)
	}
}

// TestFewOpenFiles: streams to a backend that hangs take as many files as are theirs; people sign in, and admin answers.
func TestFewOpenFiles(t *testing.T) {
	t.Parallel()
	b := newHeldBackend(t)
	s := prepare(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", b.URL),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/public/*rest\", allow: public }, { path: \"/*rest\", allow: authenticated } ]\n",
	})
	const files = 300
	s.openFiles = files
	s.start()
	s.addUser("alice", "member")
	var all []*heldRequests
	for n := range 8 {
		c := newClient(t, s, s.tls("", "h2")).from(fmt.Sprintf("127.0.0.%d", 2+n))
		all = append(all, hold(t, c, s.url("app", "/public/held"), 50))
	}
	full := func() bool { return s.refusedOfAll(t) > 0 }
	eventually(t, "all that may be is under way", full)
	if got := s.client().login("alice").get("https://login.viloforge.test/account"); got.status != http.StatusOK {
		t.Errorf("the account page, with all files in use: %v", got)
	}
	if got := s.client().get(s.url("app", "/public/x")); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("one more: %v, want 503", got)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil || len(open) > files*3/4 {
		t.Errorf("%d files are open, %v", len(open), err)
	}
	for _, what := range []string{"open files are shared out", "few open files", "limits.client_requests is 500, and with 300 open files"} {
		if !strings.Contains(s.output.String(), what) {
			t.Errorf("the log does not say: %s", what)
		}
	}
	if said := s.must("", "status", "--state", s.state); !strings.Contains(said, "300 open files (ulimit -n)") {
		t.Errorf("vilogate status: %s", said)
	}
	for _, h := range all {
		h.cancel()
	}
	s.awaitLoad(t, 0, 0)
	if got := s.client().get(s.url("app", "/public/x")); got.status != http.StatusOK {
		t.Errorf("afterwards: %v", got)
	}
}

// refusedOfAll is how many requests were refused because all together were too many.
func (s *site) refusedOfAll(t *testing.T) int {
	t.Helper()
	return object[struct {
		Load struct {
			Refused int `json:"refused"`
		} `json:"load"`
	}](t, s.admin(t, "/status")).Load.Refused
}

// TestAnIdentityProviderApartHasItsShare: whatever is under way elsewhere, people sign in.
func TestAnIdentityProviderApartHasItsShare(t *testing.T) {
	t.Parallel()
	b := newHeldBackend(t)
	f := newFleet(t, "", "")
	files := f.files()
	files["vilogate.yaml"] = strings.Replace(files["vilogate.yaml"], f.backend.url(), b.URL, 1)
	s := prepare(t, files)
	s.openFiles = 300
	s.start()
	for n := range 8 {
		hold(t, newClient(t, s, s.tls("", "h2")).from(fmt.Sprintf("127.0.0.%d", 2+n)), s.url("app", "/public/held"), 30)
	}
	eventually(t, "all that may be is under way", func() bool { return s.refusedOfAll(t) > 0 })
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		if got := c.loginAt(s.url("app", "/deep"), "alice", passwordOf("alice")); got.status != http.StatusSeeOther {
			t.Errorf("%s: %v, want 303", protocol, got)
		}
	}
	if status := s.must("", "status", "--state", s.state); !strings.Contains(status, "login host") {
		t.Errorf("vilogate status: %s", status)
	}
}

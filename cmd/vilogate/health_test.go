package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// checkedBackend is asked for /healthz, whose status it is told.
type checkedBackend struct {
	*httptest.Server
	status       atomic.Int64
	asked        atomic.Int64                 // for anything else
	made, closed atomic.Int64                 // connections
	check        atomic.Pointer[http.Request] // the last one
}

func newCheckedBackend(t *testing.T, name string) *checkedBackend {
	b := &checkedBackend{}
	b.status.Store(http.StatusOK)
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" {
			b.check.Store(r)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(int(b.status.Load()))
			return
		}
		b.asked.Add(1)
		if r.URL.Path == "/status" {
			w.WriteHeader(int(b.status.Load()))
		}
		fmt.Fprint(w, name)
	}))
	b.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			b.made.Add(1)
		case http.StateClosed:
			b.closed.Add(1)
		}
	}
	b.Start()
	t.Cleanup(b.Close)
	return b
}

func (b *checkedBackend) address() string { return b.Listener.Addr().String() }

// TestHealthFlips in both directions: an unhealthy address gets no requests while another is healthy, and where none is
// each is tried. A check that is late on a busy machine makes an address unhealthy for a moment.
func TestHealthFlips(t *testing.T) {
	t.Parallel()
	a, b := newCheckedBackend(t, "a"), newCheckedBackend(t, "b")
	s := failoverSite(t, map[string][]string{"app": {a.address(), b.address()}},
		", health: { path: \"/healthz?deep=1\", interval: 1s, healthy: 2, unhealthy: 2, host: up.example }")
	state := func(b *checkedBackend) string { return s.addressStates(t)["app "+b.address()].State }
	for _, protocol := range []string{"http/1.1", "h2"} {
		client := newClient(t, s, s.tls("", protocol))
		answers := func(n int) map[string]int {
			got := map[string]int{}
			for range n {
				answer := client.get(s.url("app", "/x"))
				if answer.status != http.StatusOK {
					t.Errorf("%v", answer)
				}
				got[answer.body]++
			}
			return got
		}
		eventually(t, "both are asked", func() bool { return a.check.Load() != nil && b.check.Load() != nil })
		a.status.Store(http.StatusServiceUnavailable)
		eventually(t, "a is unhealthy", func() bool { return state(a) == "unhealthy" })
		eventually(t, "all requests go to the one that is healthy", func() bool { return answers(20)["b"] == 20 })
		eventually(t, "the reason is told", func() bool { return s.addressStates(t)["app "+a.address()].Reason == "health check: status 503" })
		b.status.Store(http.StatusNotFound)
		eventually(t, "b is unhealthy", func() bool { return state(b) == "unhealthy" })
		eventually(t, "none is healthy, and each is asked in turn", func() bool { return answers(20)["a"] == 10 })
		a.status.Store(http.StatusFound) // which is not followed
		b.status.Store(http.StatusOK)
		eventually(t, "both are healthy", func() bool { return state(a) == "healthy" && state(b) == "healthy" })
		eventually(t, "requests go to both", func() bool { got := answers(40); return got["a"] > 0 && got["b"] > 0 })
	}
	r := a.check.Load()
	if r.Method != http.MethodGet || r.Proto != "HTTP/1.1" || r.Host != "up.example" || r.URL.RawQuery != "deep=1" || r.UserAgent() != "vilogate-health-check" {
		t.Errorf("a check is %s %s %s of %s by %s", r.Method, r.URL, r.Proto, r.Host, r.UserAgent())
	}
	for name := range r.Header {
		if name != "User-Agent" && name != "Connection" && name != "Accept-Encoding" {
			t.Errorf("a check has the header %s", name)
		}
	}
	for _, line := range []string{`"msg":"an address of an upstream is unhealthy","upstream":"app"`, `"msg":"an address of an upstream is healthy","upstream":"app"`} {
		if n := strings.Count(s.output.String(), line); n < 4 { // more where checks on a busy machine were late
			t.Errorf("the log has %d lines with %s, want 4", n, line)
		}
	}
}

// TestAReloadKeepsWhatChecksSaid, and without `health` they end.
func TestAReloadKeepsWhatChecksSaid(t *testing.T) {
	t.Parallel()
	a, b := newCheckedBackend(t, "a"), newCheckedBackend(t, "b")
	a.status.Store(http.StatusInternalServerError)
	s := failoverSite(t, map[string][]string{"app": {a.address(), b.address()}}, ", health: { path: /healthz, interval: 1s, unhealthy: 1 }")
	state := func() string { return s.addressStates(t)["app "+a.address()].State }
	eventually(t, "a is unhealthy", func() bool { return state() == "unhealthy" })
	reload := func(options string) {
		writeFiles(t, s.dir, map[string]string{"vilogate.yaml": serveConfig + "upstreams:\n" + upstreamLine("app", []string{a.address(), b.address()}, options)})
		s.must("", "reload", "--state", s.state)
	}
	reload(", timeout: 3s, health: { path: /healthz, interval: 1s, unhealthy: 2 }")
	if got := state(); got != "unhealthy" {
		t.Errorf("after a reload with other options it is %s", got)
	}
	reload("")
	if got := state(); got != "healthy" {
		t.Errorf("without checks it is %s", got)
	}
}

// TestConsecutive5xxEject, where that is asked for, and never more than half of the addresses.
func TestConsecutive5xxEject(t *testing.T) {
	t.Parallel()
	a, b := newCheckedBackend(t, "a"), newCheckedBackend(t, "b")
	a.status.Store(http.StatusInternalServerError)
	s := failoverSite(t, map[string][]string{"app": {a.address(), b.address()}}, ", eject: { consecutive_5xx: 3 }")
	client := s.client()
	state := func(b *checkedBackend) addressState { return s.addressStates(t)["app "+b.address()] }
	eventually(t, "a is ejected", func() bool {
		client.get(s.url("app", "/status"))
		return state(a).State == "ejected"
	})
	if n := a.asked.Load(); n != 3 {
		t.Errorf("a had %d requests before it was ejected, want 3", n)
	}
	if reason := state(a).Reason; reason != "3 answers of 5xx in a row" {
		t.Errorf("the reason is %q", reason)
	}
	b.status.Store(http.StatusBadGateway)
	for range 10 {
		client.get(s.url("app", "/status"))
	}
	if got := state(b); got.State != "healthy" {
		t.Errorf("the last half is %+v", got)
	}
	a.status.Store(http.StatusOK)
	eventually(t, "a is back", func() bool {
		client.get(s.url("app", "/status"))
		return state(a).State == "healthy"
	})
}

// TestKeepalive: an idle connection is closed when the upstream's own time for it is not over yet, or at once.
func TestKeepalive(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]int64{"": 1, ", keepalive: 10s": 1, ", keepalive: off": 3} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			backend := newCheckedBackend(t, "a")
			s := failoverSite(t, map[string][]string{"app": {backend.address()}}, options)
			client := s.client()
			for range 3 {
				if got := client.do(http.MethodPost, s.url("app", "/x"), "body"); got.status != http.StatusOK {
					t.Errorf("%v", got)
				}
			}
			if options != "" {
				const less = 50 * time.Second // than connections are kept by default
				within(t, less, "the connections are closed", func() bool { return backend.closed.Load() == want })
			}
			if n := backend.made.Load(); n != want {
				t.Errorf("%d connections for 3 requests, want %d", n, want)
			}
		})
	}
}

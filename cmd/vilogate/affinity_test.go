package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// affinityBackends are backends that answer with their number, and what they see of cookies.
func affinityBackends(t *testing.T, n int) (urls string, all []*httptest.Server) {
	t.Helper()
	var quoted []string
	for i := range n {
		b := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%d %q", i, r.Header["Cookie"])
		}))
		t.Cleanup(b.Close)
		all, quoted = append(all, b), append(quoted, fmt.Sprintf("%q", b.URL))
	}
	return "[" + strings.Join(quoted, ", ") + "]", all
}

// TestAffinityByCookie: a browser is given a cookie with its first answer, and stays where it is, over reloads and restarts; another
// has an address of its own, and one that goes takes nobody else's along. The backend sees nothing of the cookie.
func TestAffinityByCookie(t *testing.T) {
	t.Parallel()
	urls, backends := affinityBackends(t, 4)
	s := toBackends(t, nil, "app: { urls: "+urls+", affinity: cookie }")
	const name = "__Host-vilogate-affinity"
	type browser struct {
		*client
		at string
	}
	var all []browser
	seen := map[string]int{}
	for i := range 24 {
		c := newClient(t, s, s.tls("", []string{"http/1.1", "h2"}[i%2]))
		first := c.get(s.url("app", "/public/x"), "Cookie: theirs=1")
		line := first.header.Get("Set-Cookie")
		if !strings.HasPrefix(line, name+"=") || !strings.HasSuffix(line, "; Path=/; Secure; HttpOnly; SameSite=None") || first.header.Get("Cache-Control") != "private" {
			t.Fatalf("the first answer has %q\n%v", line, first)
		}
		for range 3 {
			again := c.get(s.url("app", "/public/x"), "Cookie: theirs=1")
			if again.body != first.body || again.header.Get("Set-Cookie") != "" {
				t.Errorf("first %v, then %v", first, again)
			}
		}
		at, cookies, _ := strings.Cut(first.body, " ")
		if cookies != `["theirs=1"]` {
			t.Errorf("the backend sees the cookies %s", cookies)
		}
		all, seen[at] = append(all, browser{c, at}), seen[at]+1
	}
	if len(seen) < 3 {
		t.Errorf("24 browsers are at %v", seen)
	}
	stay := func(when string, but string) {
		t.Helper()
		for _, b := range all {
			got := b.get(s.url("app", "/public/x"))
			at, _, _ := strings.Cut(got.body, " ")
			if got.status != http.StatusOK || b.at != but && at != b.at || b.at == but && at == b.at {
				t.Errorf("%s: a browser of %s got %v", when, b.at, got)
			}
		}
	}
	s.must("", "reload", "--state", s.state)
	stay("after a reload", "")
	s.stopped(t, func() {})
	stay("after a restart", "")
	backends[2].Close()
	stay("without one address", "2")

	// What is no value of ours is as none, and is not passed on.
	c := s.client()
	for _, value := range []string{"", "short", strings.Repeat("a", 23), strings.Repeat("!", 22), "x; " + name + "=y"} {
		got := c.fresh().get(s.url("app", "/public/x"), "Cookie: "+name+"="+value+"; theirs=2")
		if !strings.HasPrefix(got.header.Get("Set-Cookie"), name+"=") || !strings.HasSuffix(got.body, `["theirs=2"]`) {
			t.Errorf("with the value %q: %v", value, got)
		}
	}
}

// TestNobodyTakesAnAddress: whoever has found the cookies of an address has half of its connections at most, and others who are there
// are answered.
func TestNobodyTakesAnAddress(t *testing.T) {
	t.Parallel()
	a, b := newHeldBackend(t), newHeldBackend(t)
	s := toBackends(t, nil, fmt.Sprintf("app: { urls: [ %q, %q ], affinity: cookie, connections: 4, queue: { length: 20, timeout: 30s } }", a.URL, b.URL))
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		cookie, _, _ := strings.Cut(c.get(s.url("app", "/public/x")).header.Get("Set-Cookie"), ";")
		held := hold(t, c, s.url("app", "/public/held"), 6)
		s.awaitLoad(t, 2, 4)
		other := s.client().from("127.0.0.2")
		for range 3 {
			if got := other.get(s.url("app", "/public/x"), "Cookie: "+cookie); got.status != http.StatusOK {
				t.Errorf("%s: another client at the same address: %v", protocol, got)
			}
		}
		held.cancel()
		s.awaitLoad(t, 0, 0)
	}
}

// TestAffinityByUser: whoever is signed in is at one address, with whatever browser, and so are all who come from one address.
func TestAffinityByUser(t *testing.T) {
	t.Parallel()
	urls, _ := affinityBackends(t, 8)
	s := toBackends(t, nil, "app: { urls: "+urls+", affinity: user }")
	seen := map[string]bool{}
	for i := range 5 {
		name := fmt.Sprintf("user%d", i)
		s.addUser(name, "member")
		at := map[string]bool{}
		for range 2 {
			c := s.client().login(name)
			for range 3 {
				got := c.get(s.url("app", "/x"))
				if got.status != http.StatusOK || got.header.Get("Set-Cookie") != "" {
					t.Errorf("%v", got)
				}
				at[got.body] = true
			}
		}
		if len(at) != 1 {
			t.Errorf("%s was at %v", name, at)
		}
		for a := range at {
			seen[a] = true
		}
	}
	if len(seen) < 2 {
		t.Errorf("all users are at %v", seen)
	}
	at := map[string]bool{}
	for range 6 {
		at[s.client().get(s.url("app", "/public/x")).body] = true
	}
	if len(at) != 1 {
		t.Errorf("who is not signed in was at %v", at)
	}
}

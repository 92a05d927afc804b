package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestForwardAuthRecipesKeepToTheirHost: by the name of another host, which has policies of its own, nobody comes to the backend of
// this one, and requests as long as a proxy takes are served, or refused, with all that the gateway says of them.
func TestForwardAuthRecipesKeepToTheirHost(t *testing.T) {
	t.Parallel()
	for name, start := range fronts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := record(t)
			s := attackSite{backend: backend, site: serve(t, map[string]string{
				"vilogate.yaml":      serveConfig + ownIdP + forwardAuth + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
				"policies/app.yaml":  attackedPolicy,
				"policies/open.yaml": "host: open.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
			})}
			var roles []string
			for i := range 40 {
				roles = append(roles, fmt.Sprintf("member-of-the-%d-of-many-groups", i))
			}
			s.addUser("alice", "member")
			s.addUser("many", roles...)
			s.alice = s.client().login("alice").sso()
			f := start(t, s)
			t.Run("hosts", func(t *testing.T) { frontOfOneHost(t, s, f) })
			t.Run("long", func(t *testing.T) { frontLong(t, s, f, s.client().login("many").sso()) })
		})
	}
}

// frontOfOneHost tries the names of a host that lets everybody in.
func frontOfOneHost(t *testing.T, s attackSite, f front) {
	for _, r := range []request{
		{host: "open.viloforge.test", target: "/admin"},
		{host: "OPEN.viloforge.test:443", target: "/admin"},
		{host: "open.viloforge.test.", target: "/admin"},
		{host: appHost + ",open.viloforge.test", target: "/admin"},
		{host: "open.viloforge.test, " + appHost, target: "/admin"},
		{host: appHost, target: "https://open.viloforge.test/admin"},
		{host: "open.viloforge.test", target: "https://open.viloforge.test/admin"},
		{host: "open.viloforge.test", target: "https://" + appHost + "/admin"},
		{host: appHost, target: "/admin", header: []string{"X-Forwarded-Host: open.viloforge.test"}},
		{host: appHost, target: "/admin", header: []string{"X-Original-Host: open.viloforge.test"}},
		{host: appHost, target: "/admin", header: []string{"Host: open.viloforge.test"}},
	} {
		p := s.backend.probe(t)
		r.header = append(r.header, p.header())
		a := f.send(t, r)
		if seen := s.backend.with(p.mark + "."); len(seen) > 0 || a.status == http.StatusOK {
			t.Errorf("%s of %s, by %q: %v; the backend received %q", r.target, r.host, r.header, a, seen)
		}
		p.backend.forget(p)
	}
}

// frontLong tries requests up to what the proxy takes, of somebody of whom there is much to say.
func frontLong(t *testing.T, s attackSite, f front, many string) {
	arrived := 0
	for size := 0; size < 16000; size += 250 {
		p := s.backend.probe(t)
		header := []string{cookieLine(many) + "; theirs=" + strings.Repeat("c", min(size, 4000)), p.header()}
		for rest := size - 4000; rest > 0; rest -= 4000 {
			header = append(header, "X-Long: "+strings.Repeat("x", min(rest, 4000)))
		}
		a := f.send(t, request{target: "/x", header: header})
		seen := s.backend.with(p.mark + ".")
		p.backend.forget(p)
		if len(seen) == 0 {
			if a.status < 400 || a.status == http.StatusInternalServerError || size < 6000 {
				t.Errorf("%d bytes more: %v", size, a)
			}
			continue
		}
		arrived++
		for _, name := range []string{"X-User", "X-User-Id", "X-User-Email", "X-User-Name", "X-User-Roles", "X-User-Assertion", "X-Request-Id", "Cookie"} {
			if len(seen[0].values(name)) != 1 {
				t.Errorf("%d bytes more: the backend was sent %d lines of %s", size, len(seen[0].values(name)), name)
			}
		}
	}
	if arrived < 20 {
		t.Errorf("%d arrived", arrived)
	}
	page := "/x?q=" + strings.Repeat("%2F", 1500)
	if a := f.send(t, request{target: page, header: slices.Clone(navigation)}); a.status != http.StatusFound || !strings.HasSuffix(a.header.Get("Location"), "%252F") {
		t.Errorf("a person with a long address: %d %d", a.status, len(a.header.Get("Location")))
	}
}

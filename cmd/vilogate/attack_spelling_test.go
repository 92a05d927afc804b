package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// spellingSite is a site with one policy for app.viloforge.test, and alice signed in.
func spellingSite(t *testing.T, policy string) (s *site, backend *recorder, alice string) {
	t.Helper()
	backend = record(t)
	s = serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\n" + policy,
	})
	s.addUser("alice", "member")
	return s, backend, s.client().login("alice").sso()
}

// TestQueryParameterPollution: a parameter that the policy reads comes to a backend in one spelling, which every server reads
// alike.
func TestQueryParameterPollution(t *testing.T) {
	t.Parallel()
	s, backend, alice := spellingSite(t, "routes:\n  - { path: /q, allow: { when: 'request.query[\"owner\"] == user.username' } }\n  - { path: /free, allow: authenticated }\n")
	for _, name := range []string{
		"owner", "Owner", "owner]", "[owner", "]owner", "[[owner", "[owner]", "owner[", "owner[]", "owner[x]", "owner.x", ".owner", "owner.", "+owner",
		"owner+", "%20owner", "owner%00", "%00owner", "%5Bowner%5D", "?owner", "!owner", "_owner", "%256Fwner", "owner%FF", "%EF%BB%BFowner",
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+url.QueryEscape(name), func(t *testing.T) {
				t.Parallel()
				for _, query := range []string{"owner=alice&" + name + "=bob", name + "=bob&owner=alice"} {
					probe := backend.probe(t)
					got := p.send(s, t, request{host: appHost, target: "/q?" + query, header: []string{probe.header(), cookieLine(alice)}})
					if got.status != http.StatusBadRequest {
						t.Errorf("%s: got %v, want 400", query, got)
					}
					probe.none()
				}
			})
		}
	}
	for target, want := range map[string]int{
		"/q?owner=alice": 200, "/q?owner=alice&owner_id=bob&x[owner]=bob&_=1": 200, "/q?owner=bob": 403, "/free?owner=alice&owner]=bob": 200,
	} {
		for _, p := range protocols() {
			if got := p.send(s, t, request{host: appHost, target: target, header: []string{cookieLine(alice)}}); got.status != want {
				t.Errorf("%s %s: got %v, want %d", p.name, target, got, want)
			}
		}
	}
}

// TestMethodIsCanonical: a method is forwarded in the one spelling that the policy compares, and only where it is known: a
// server that folds case takes delete for DELETE.
func TestMethodIsCanonical(t *testing.T) {
	t.Parallel()
	s, backend, alice := spellingSite(t, "routes:\n  - { path: /m, allow: { when: 'request.method != \"DELETE\"' } }\n  - { path: /cache, methods: [PURGE], allow: authenticated }\n")
	for method, want := range map[string]int{
		"GET": 200, "DELETE": 403, "PROPFIND": 200, "QUERY": 200, "PURGE": 200, "TRACE": 405, "TRACK": 405,
		"delete": 501, "Delete": 501, "DELETe": 501, "get": 501, "purge": 501, "BAN": 501, "DELETE_": 501, "*": 501, "PRI": 501,
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+method, func(t *testing.T) {
				t.Parallel()
				probe := backend.probe(t)
				got := p.send(s, t, request{method: method, host: appHost, target: "/m", header: []string{
					probe.header(), cookieLine(alice), "Origin: https://" + appHost,
				}})
				if got.status != want {
					t.Errorf("got %v, want %d", got, want)
				}
				if want != http.StatusOK {
					probe.none()
				}
				if want == http.StatusNotImplemented {
					if problem := got.problem(t); problem.Type != "https://vilogate.dev/problems/method-not-implemented" {
						t.Errorf("the problem is %+v", problem)
					}
				}
			})
		}
	}
	for _, c := range []request{
		{method: "delete", host: "login.viloforge.test", target: "/login"},
		{method: "PURGE", host: "login.viloforge.test", target: "/login"},
		{method: "get", host: appHost, target: "/.vilogate/me"},
		{method: "PURGE", host: "other.viloforge.test", target: "/"},
	} {
		for _, p := range protocols() {
			if got := p.send(s, t, c); got.status != http.StatusNotImplemented {
				t.Errorf("%s %s %s%s: got %v, want 501", p.name, c.method, c.host, c.target, got)
			}
		}
	}
}

// TestCaseOfAPathLeadsAroundNoRule: where paths are case-insensitive, no letter in another case leads around a rule, and what
// was sent is forwarded.
func TestCaseOfAPathLeadsAroundNoRule(t *testing.T) {
	t.Parallel()
	s, backend, alice := spellingSite(t, "paths: case-insensitive\nroutes:\n  - { path: /admin, allow: { roles: [admin] } }\n  - { path: \"/*rest\", allow: authenticated }\n")
	for target, want := range map[string]int{
		"/admin": 403, "/ADMIN": 403, "/Admin/": 403, "/%41dmin": 403, "/Other": 200, "/%E2%84%AA": 400, "/admin/%C5%BF": 400,
		"/adm%C4%B0n": 400, "/adm%C4%B1n": 400, "/acce%C3%9F": 400, "/acce%E1%BA%9E": 400, "/%EF%AC%80": 400, "/%EF%AC%83": 400, "/%EF%AC%86": 400,
		"/admin.": 400, "/admin%20": 400, "/admin./x": 400, "/admin::$INDEX_ALLOCATION": 400, "/x%3Ay": 400, "/a.b": 200,
		"/.VILOGATE/me": 200, "/.Well-Known/Vilogate/jwks.json": 200, "/.VILOGATE/nothing": 404, "/.vilogate./me": 400,
	} {
		for _, p := range protocols() {
			t.Run(p.name+target, func(t *testing.T) {
				t.Parallel()
				probe := backend.probe(t)
				got := p.send(s, t, request{host: appHost, target: target, header: []string{probe.header(), cookieLine(alice)}})
				switch {
				case got.status != want:
					t.Errorf("got %v, want %d", got, want)
				case want != http.StatusOK || strings.HasPrefix(target, "/."): // the gateway's own, in any case
					probe.none()
				case !strings.HasPrefix(probe.one().head, "GET "+target+" "):
					t.Errorf("%s is forwarded in another case", target)
				}
			})
		}
	}
}

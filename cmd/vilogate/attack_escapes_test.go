package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const escapesPolicy = `routes:
  - { path: "/rooms/:alias", allow: public, encoded_hash: allow }
  - { path: "/files/*rest", allow: authenticated, encoded_hash: allow }
  - { path: "/job/*rest", allow: public, double_encoding: allow }
  - { path: /job/secret, allow: { roles: [admin] } }
  - { path: "/share/*rest", allow: public, encoded_backslash: allow, strip_prefix: /share }
  - { path: "/share/admin/*rest", allow: { roles: [admin] } }
  - { path: "/all/*rest", allow: public, encoded_hash: allow, double_encoding: allow, encoded_backslash: allow, encoded_slash: allow, double_slash: allow, semicolon: allow }
  - { path: "/*rest", allow: public }
tests:
  - { get: "/job/a/release%252F1/5/", expect: allow, rule: "/job/*rest" }
  - { get: "/job/secret%252Fx", expect: bad-request }
  - { get: "/share/admin%5Cx", expect: bad-request }
  - { get: "/rooms/%23a", expect: allow }
  - { get: "/x%23", expect: bad-request }
`

// TestEscapesThatARoutePermits: %23, %252F and %5C come to the backend as they were sent where the route permits them, and
// nothing else does.
func TestEscapesThatARoutePermits(t *testing.T) {
	t.Parallel()
	s, backend, alice := spellingSite(t, escapesPolicy)
	for target, want := range map[string]string{ // "" for 400
		"/rooms/%23sd%3amatrix.example": "/rooms/%23sd%3Amatrix.example", "/files/C%23%20notes.txt?a#": "", "/files/C%23%20notes.txt?x=1": "/files/C%23%20notes.txt?x=1",
		"/job/a/job/release%252F1.12.1/5/": "/job/a/job/release%252F1.12.1/5/", "/job/x%252fsecret": "/job/x%252fsecret",
		"/share/a%5cb": "/a%5Cb", "/share/a/x%5Cadmin": "/a/x%5Cadmin", "/all/%255C%5C%2523%2f": "/all/%255C%5C%2523%2F",
		"/x%23": "", "/x%252Fy": "", "/x%5Cy": "", "/x%2523": "", "/rooms/a%5Cb": "", "/rooms/%2523": "", "/job/a%23": "", "/job/a%255Cb": "", "/share/a%23": "", "/share/a%252Fb": "",
		"/job/secret%252F": "", "/job/secret%252Fx": "", "/job/secre%2574": "", "/job%252Fsecret": "", "/share/admin%5Cx": "", "/share/%2561dmin/x": "", "/share%5Cadmin/x": "",
		"/all/#": "", `/all/a\b`: "", "/all/a#b": "", "/all/..%5C": "", "/all/%2e%2e%5c": "", "/all/%252e%252e": "", "/all/%25252e%2525252e": "", "/all/a%5c..%5cb": "", "/all/%00": "",
		"/all/%2500": "", "/all/x%5C%252500": "", "/all/..%23": "", "/all/.%252f": "", "/all%5C..%5Cjob": "", "/.vilogate%5Cme": "", "/.vilogate%252Fme": "", "/.%2576ilogate/me": "",
		"/all/%5C../x": "", "/all/x%25u005c..": "",
	} {
		for _, p := range protocols() {
			t.Run(p.name+strings.ReplaceAll(target, "/", "_"), func(t *testing.T) {
				t.Parallel()
				probe := backend.probe(t)
				got := p.send(s, t, request{host: appHost, target: target, header: []string{probe.header(), cookieLine(alice)}})
				if want == "" {
					assertRefused(t, p, got, http.StatusBadRequest)
					probe.none()
					return
				}
				if got.status != http.StatusOK {
					t.Fatalf("got %v", got)
				}
				if seen := probe.one().target(); seen != want {
					t.Errorf("the backend sees %q, want %q", seen, want)
				}
			})
		}
	}
	t.Run("login-host", func(t *testing.T) {
		for _, target := range []string{"/login%23", "/log%5Cin", "/log%252Fin"} {
			for _, p := range protocols() {
				assertRefused(t, p, p.send(s, t, request{host: "login.viloforge.test", target: target}), http.StatusBadRequest)
			}
		}
	})
	t.Run("login-and-back", func(t *testing.T) {
		for _, path := range []string{"/files/C%23%20notes.txt", "/files/a%20b%23"} {
			if got := s.client().loginAt(s.url("app", path), "alice", passwordOf("alice")); got.status != http.StatusSeeOther || !strings.HasSuffix(got.header.Get("Location"), path) {
				t.Errorf("%s: %v, Location %q", path, got, got.header.Get("Location"))
			}
		}
	})
	t.Run("explain", func(t *testing.T) {
		for target, want := range map[string]string{
			"/job/a%252Fb": "allow: public", "/job/secret%252Fx": "bad-request: a server that decodes the path further", "/x%5Cy": "bad-request: ambiguous path, which the route does not permit (encoded_backslash)",
			"/rooms/%23a": "allow: public", "/all/..%5C": "bad-request: a dot segment",
		} {
			if said := s.must("", "policy", "explain", "-c", s.dir+"/vilogate.yaml", fmt.Sprintf("https://%s%s", appHost, target)); !strings.Contains(said, want) {
				t.Errorf("%s: %s, want %q", target, said, want)
			}
		}
	})
}

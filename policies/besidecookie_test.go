package policies

import (
	"strings"
	"testing"
)

const beside = `
host: website.viloforge.com
upstream: website
defaults: { bearer: pass }
routes:
  - { path: /, allow: authenticated }
  - { path: /public, allow: public }
  - { path: /admin, allow: { roles: [admin] } }
  - { path: /either, allow: { any: [{ bearer: only }, { roles: [member] }] } }
  - { path: /strict, allow: authenticated, bearer: verify }
  - { path: /machine, allow: authenticated, bearer: only }
  - { path: /open, allow: public, bearer: verify }
  - { path: /nobody, allow: deny }
tests:
  - { get: /, as: { user: alice, by: cookie }, headers: { Authorization: Bearer ghp_x }, expect: allow }
  - { get: /strict, as: { user: alice, by: cookie }, headers: { Authorization: Bearer ghp_x }, expect: deny }
`

// TestABearerTokenOfNobodysBesideACookie: where the route passes it on, the cookie says who asks, with all that goes for
// cookies; anywhere else it is refused, or, where nobody is asked, does not let the cookie count.
func TestABearerTokenOfNobodysBesideACookie(t *testing.T) {
	t.Parallel()
	h := compile(t, beside)
	cookie := &Identity{Issuer: ownIssuer, User: "alice", Roles: []string{"member"}}
	bearer := &Identity{Issuer: ownIssuer, User: "alice", Roles: []string{"member"}, Bearer: true}
	for _, c := range []struct {
		method, path, authorization string
		as                          *Identity
		want                        Outcome
		who                         bool // the answer is about somebody
	}{
		{"GET", "/", "Bearer ghp_x", cookie, Allow, true},
		{"GET", "/", "bEARER\tghp_x", cookie, Allow, true},
		{"GET", "/", "Bearer 7|x", cookie, Allow, true},
		{"POST", "/", "Bearer ghp_x", cookie, Deny, true}, // CSRF
		{"GET", "/admin", "Bearer ghp_x", cookie, Deny, true},
		{"GET", "/either", "Bearer ghp_x", cookie, Allow, true},
		{"GET", "/strict", "Bearer ghp_x", cookie, Deny, true},
		{"GET", "/strict", "Basic YTpi", cookie, Allow, true},
		{"GET", "/strict", "BearerX ghp_x", cookie, Allow, true},
		{"GET", "/strict", "Bearer x", bearer, Allow, true}, // it is who asks
		{"GET", "/machine", "Bearer ghp_x", cookie, Deny, true},
		{"GET", "/nobody", "Bearer ghp_x", cookie, Deny, true},
		{"GET", "/nowhere", "Bearer ghp_x", cookie, Deny, true},
		{"GET", "/public", "Bearer ghp_x", cookie, Allow, true},
		{"GET", "/open", "Bearer ghp_x", cookie, Allow, false},
		{"POST", "/public", "Bearer ghp_x", cookie, Allow, false}, // CSRF: anonymous
		// What careless servers read as two.
		{"GET", "/", "Bearer ghp_x, Bearer a.b.c", cookie, Deny, true},
		{"GET", "/", "Bearer ghp_x a.b.c", cookie, Deny, true},
		{"GET", "/", `Bearer "a.b.c"`, cookie, Deny, true},
		{"GET", "/", "Bearer", cookie, Deny, true},
		{"GET", "/", "Bearer \u00fc", cookie, Deny, true},
	} {
		a, err := h.Decide(&Request{
			Method: c.method, Host: "website.viloforge.com", Target: c.path, Now: testTime, Identity: c.as,
			Header: Fields{"Authorization": {c.authorization}},
		})
		if err != nil || a.Outcome != c.want || (a.Identity != nil) != c.who {
			t.Errorf("%s %s with %q: %v (%s), about %v, %v; want %v", c.method, c.path, c.authorization, a.Outcome, a.Reason, a.Identity, err, c.want)
		}
		if refused := a.Reason == ReasonForeignBearer; refused && !a.ForeignBearer || a.ForeignBearer && (c.as == bearer || strings.HasPrefix(c.authorization, "Bas")) {
			t.Errorf("%s %s with %q: %q, foreign %t", c.method, c.path, c.authorization, a.Reason, a.ForeignBearer)
		}
	}
}

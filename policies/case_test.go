package policies

import (
	"strings"
	"testing"
)

// TestPathsWithoutRegardToCase: where paths are case-insensitive, the stricter rule is not left by a letter in another case,
// conditions see the folded path, and a letter beyond ASCII that folds into ASCII is refused.
func TestPathsWithoutRegardToCase(t *testing.T) {
	t.Parallel()
	const routes = `
routes:
  - { path: /Admin, allow: { roles: [admin] } }
  - { path: "/u/:name", allow: { when: 'user.username == request.params.name && request.path.startsWith("/u/")' } }
  - { path: "/CAFÉ/*rest", allow: public }
  - { path: "/*rest", allow: authenticated }
`
	const head = "host: website.viloforge.com\nupstream: website\n"
	folding, other := compile(t, head+"paths: case-insensitive"+routes), compile(t, head+"paths: case-sensitive"+routes)
	for target, want := range map[string][2]Outcome{ // folding, and not
		"/Admin": {Deny, Deny}, "/admin": {Deny, Allow}, "/ADMIN": {Deny, Allow}, "/%41dmin": {Deny, Deny}, "/aDMIN/": {Deny, Allow},
		"/U/alice": {Allow, Allow}, "/u/ALICE": {Allow, Deny}, "/u/bob": {Deny, Deny}, "/caf%C3%89/X": {Allow, Allow}, "/caf%C3%A9/X": {Allow, Allow},
		"/%E2%84%AAelvin": {BadRequest, Allow}, "/x/%c5%bf": {BadRequest, Allow}, "/.vilogate/nope": {NotFound, NotFound},
		"/acce%C3%9F": {BadRequest, Allow}, "/%EF%AC%81les": {BadRequest, Allow}, "/adm%C4%B0n": {BadRequest, Allow}, "/adm%C4%B1n": {BadRequest, Allow},
		"/%25C5%25BF": {BadRequest, Allow}, "/.VILOGATE/nope": {NotFound, Allow}, "/.Vilogate/ME": {Allow, Allow}, "/.v%C4%B1logate/me": {BadRequest, Allow},
		"/.Well-Known/Vilogate/JWKS.json": {Allow, Allow}, "/.VILOGATE/;x/me": {BadRequest, BadRequest}, "/.vilogate./me": {BadRequest, Allow},
		"/Admin.": {BadRequest, Allow}, "/admin%20": {BadRequest, Allow}, "/admin::$INDEX_ALLOCATION": {BadRequest, Allow}, "/x/a./b": {BadRequest, Allow},
		"/x/a.b": {Allow, Allow},
	} {
		for i, h := range []*HostPolicy{folding, other} {
			a, err := h.Decide(&Request{Method: "GET", Host: h.Host, Target: target, Header: Fields{}, Identity: &Identity{User: "alice"}})
			if err != nil || a.Outcome != want[i] {
				t.Errorf("%s, %s: %v, %s; want %v", target, h.Paths(), a.Outcome, a.Reason, want[i])
			}
			if a.Target.Path.String() == strings.ToLower(a.Target.Path.String()) && target == "/ADMIN" {
				t.Errorf("%s is forwarded as %s", target, a.Target.Path)
			}
		}
	}
	a, _ := folding.Decide(&Request{Method: "GET", Host: folding.Host, Target: "/caf%C3%89/X", Header: Fields{}})
	if a.Match.Pattern != "/CAFÉ/*rest" || a.Target.Path.String() != "/caf%C3%89/X" || a.Facts.Path.String() != "/caf%C3%89/x" {
		t.Errorf("matched %s, forwarded %s, judged %s", a.Match.Pattern, a.Target.Path, a.Facts.Path)
	}
}

// TestOwnPathsInAnyCase: where paths are case-insensitive, the gateway's own paths are so too.
func TestOwnPathsInAnyCase(t *testing.T) {
	t.Parallel()
	h := compile(t, "host: website.viloforge.com\nupstream: website\npaths: case-insensitive\nroutes: [ { path: \"/*rest\", allow: public } ]\n")
	for target, want := range map[string]Endpoint{"/.VILOGATE/me": Me, "/.vilogate/LogOut": Logout, "/.WELL-KNOWN/vilogate/jwks.JSON": Keys} {
		method := "GET"
		if want == Logout {
			method = "POST"
		}
		if l := h.Locate(&Request{Method: method, Host: h.Host, Target: target, Header: Fields{}}); l.Kind != OwnPath || l.Endpoint != want {
			t.Errorf("%s: %v, endpoint %d", target, l.Kind, l.Endpoint)
		}
	}
}

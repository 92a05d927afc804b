package policies

import (
	"strings"
	"testing"
)

// What other issuers call people and roles is written as they write it, where their roles count so.
func TestNamesOfOtherIssuersAreWrittenAsTheyAre(t *testing.T) {
	t.Parallel()
	const policy = `
host: app.viloforge.com
upstream: website
routes:
  - { path: /roles, allow: { roles: ["Domain Users", "/admins", "a,b", "jürgen's"] } }
  - { path: /users, allow: { users: ["partner:Jürgen Müller", 'partner:CONTOSO\alice', "partner:auth0|5f7c", "partner:a:b"] } }
tests:
  - { get: /roles, as: { user: "partner:x", roles: ["/admins"] }, expect: allow }
  - { get: /roles, as: { user: "partner:x", roles: ["%2Fadmins", "admins", a, b] }, expect: deny }
  - { get: /users, as: { user: "partner:Jürgen Müller" }, expect: allow }
  - { get: /users, as: { user: "partner:a:b" }, expect: allow }
  - { get: /users, as: { user: "partner:jürgen müller" }, expect: deny }
`
	o := testOptions
	o.ForeignRoles = true
	if _, err := Compile([]File{{"app.yaml", []byte(policy)}}, o); err != nil {
		t.Error(err)
	}
	if _, err := Compile([]File{{"app.yaml", []byte(policy)}}, testOptions); err == nil || !strings.Contains(err.Error(), `a role is at most 64`) || strings.Contains(err.Error(), "user") {
		t.Errorf("where no issuer's roles count so: %v", err)
	}
	for _, bad := range []string{`roles: ["a\u0000b"]`, `roles: ["\u202ea"]`, `roles: [""]`, `users: ["partner:a\nb"]`, `users: ["partner:\u202ea"]`, `users: ["Jürgen Müller"]`, `users: ["nobody:a"]`} {
		text := "host: app.viloforge.com\nupstream: website\nroutes:\n  - { path: /, allow: { " + bad + " } }\n"
		if _, err := Compile([]File{{"app.yaml", []byte(text)}}, o); err == nil {
			t.Errorf("%s: compiles", bad)
		}
	}
}

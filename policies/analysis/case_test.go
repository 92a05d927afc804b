package analysis

import (
	"strings"
	"testing"
)

// TestCaseThatLeadsAroundARule: a host that does not say how paths are compared, and has a stricter rule beside a wider one, is
// warned of once, with the request that proves it.
func TestCaseThatLeadsAroundARule(t *testing.T) {
	t.Parallel()
	const head = "host: a.viloforge.com\nupstream: site\n"
	admin := "routes:\n  - { path: /admin, allow: { roles: [admin] } }\n  - { path: /Root/x, allow: deny }\n  - { path: \"/*rest\", allow: authenticated }\n"
	for text, want := range map[string]string{
		head + admin:                               "GET /ADMIN as { user: someone } is allowed by /*rest (a.yaml:6:5), and not by /admin, which a server that folds case",
		head + "paths: case-sensitive\n" + admin:   "",
		head + "paths: case-insensitive\n" + admin: "",
		head + "routes:\n  - { path: /about, allow: public }\n  - { path: \"/*rest\", allow: authenticated }\n":                  "",
		head + "routes:\n  - { path: /admin, allow: { roles: [admin] } }\n  - { path: /other, allow: public }\n":                 "",
		head + "routes:\n  - { path: /a, methods: [GET], allow: deny }\n  - { path: \"/:x\", methods: [POST], allow: public }\n": "",
		head + "routes:\n  - { path: /me/A, allow: authenticated }\n  - { path: \"/me/:x\", allow: optional }\n":                 "GET /me/a as nobody is allowed by /me/:x",
	} {
		var found []string
		for _, f := range Check(compile(t, text)) {
			if f.Kind == CaseVariant {
				found = append(found, f.Msg)
			}
		}
		if (len(found) == 1) != (want != "") || len(found) == 1 && !strings.HasPrefix(found[0], want) {
			t.Errorf("%s: %q, want %q", text, found, want)
		}
	}
}

// TestDiffOfCase: what folding case changes is reported, in a path that the one side takes for the other's word.
func TestDiffOfCase(t *testing.T) {
	t.Parallel()
	const routes = "routes:\n  - { path: /admin, allow: { roles: [admin] } }\n  - { path: \"/*rest\", allow: authenticated }\n"
	d := Diff(compile(t, "host: a.viloforge.com\nupstream: site\n"+routes), compile(t, "host: a.viloforge.com\nupstream: site\npaths: case-insensitive\n"+routes))
	if len(d.Options) != 1 || d.Options[0].Option != "paths" || d.Options[0].To != "case-insensitive" {
		t.Errorf("options: %+v", d.Options)
	}
	if len(d.Changes) != 2 || d.Changes[1].To != "deny" || d.Changes[0].From != "allow" || d.Changes[0].To != "deny" || d.Changes[0].Example.URL != "https://a.viloforge.com/ADMIN" {
		t.Errorf("changes: %+v", d.Changes)
	}
}

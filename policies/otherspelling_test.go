package policies

import (
	"strings"
	"testing"
)

// TestOtherSpellingsOfVariables: no spelling of a variable gets by the reader, who notes what a policy depends on.
func TestOtherSpellingsOfVariables(t *testing.T) {
	t.Parallel()
	for _, expression := range []string{
		`!("x-debug" in .request.headers)`,
		`.request.headers["x-tenant"] == "a"`,
		`.request.time > timestamp("2030-01-01T00:00:00Z")`,
		`.request.ip == ""`,
		`.user.username == "a"`,
		"request.`headers`[\"authorization\"] == \"a\"",
		`.matches(user.username, user.id)`,
		`user.roles.exists(r, r == .request.ip)`,
		`[.request.ip].size() == 1`,
		`{"a": .request.ip}.size() == 1`,
		`(.request).ip == ""`,
	} {
		text := "host: website.viloforge.com\nupstream: website\nroutes:\n  - path: /a\n    allow:\n      optional: true\n      when: |\n        " + expression + "\n"
		_, err := Compile([]File{{"a.yaml", []byte(text)}}, testOptions)
		if err == nil || !strings.HasPrefix(err.Error(), "a.yaml:8:") {
			t.Errorf("%s: %v", expression, err)
		}
	}
	h := compile(t, "host: website.viloforge.com\nupstream: website\nroutes:\n  - path: /a\n    allow:\n      when: |\n        request.`time` != user.`auth_time` && \"x\" in request.`headers` && token.`claims`.`a-b` == \"x\"\n")
	if r := h.Routes()[0].Reads; !r.Now || len(r.Headers) != 1 || len(r.Claims) != 1 || r.Claims[0] != "a-b" {
		t.Errorf("quoted names are read as %+v", r)
	}
}

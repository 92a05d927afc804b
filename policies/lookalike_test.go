package policies

import (
	"strings"
	"testing"
)

// TestParametersAreWholeSegments: a policy compares what the backend gets, with what follows a semicolon.
func TestParametersAreWholeSegments(t *testing.T) {
	t.Parallel()
	h := compile(t, `
host: website.viloforge.com
upstream: website
defaults: { semicolon: allow, double_slash: allow }
routes:
  - { path: "/u/:name", allow: { when: 'user.username == request.params.name' } }
  - { path: "/f/*rest", allow: { when: 'request.params.rest == "a;x/;y/b"' } }
  - { path: "/word/:name/end", allow: { when: 'request.params.name == "alice"' } }
`)
	for path, want := range map[string]Outcome{
		"/u/alice": Allow, "/u/alice%3Bevil": Deny, "/u/alice;evil": Deny, "/u/;x/alice": Allow, "/u//alice": Allow,
		"/f/a;x/;y/b": Allow, "/f/a%3Bx/%3By/b": Allow, "/f/a;x/;y//b": Allow, "/f/a/b": Deny, "/f/a;x/b": Deny,
		"/word;x/alice/end;y": Allow, "/word;x/;z/alice/end": Allow, "/word/alice;x/end": Deny,
	} {
		f := Facts{Method: "GET", Path: parsed(t, path)}
		if d := h.Match(f.Path, "GET").whole(f, &Identity{User: "alice"}); d.Outcome != want {
			t.Errorf("%s: %v, %s; want %v", path, d.Outcome, d.Reason, want)
		}
	}
}

// TestNumbersThatLookAlike: what JSON does not keep apart is not asked for, in whatever way.
func TestNumbersThatLookAlike(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ allow, at string }{
		{"claims: { account: 9007199254740993 }", "4:44"},
		{"claims: { account: [1, -9007199254740992] }", "4:48"},
		{"claims: { account: 9007199254740993.0 }", "4:44"},
		{`when: 'token.claims["account"] == 9007199254740993'`, "4:59"},
		{`when: 'token.claims["account"] == -9007199254740993'`, "4:59"},
		{`when: 'token.claims["account"] == 9007199254740993u'`, "4:59"},
		{`when: 'token.claims["account"] == 9007199254740993.0'`, "4:59"},
		{`when: 'token.claims["account"] in [1, 9007199254740992]'`, "4:63"},
	} {
		text := "host: website.viloforge.com\nupstream: website\nroutes:\n  - { path: /, allow: { " + c.allow + " } }\n"
		_, err := Compile([]File{{"a.yaml", []byte(text)}}, testOptions)
		if err == nil || !strings.HasPrefix(err.Error(), "a.yaml:"+c.at+": numbers beyond") {
			t.Errorf("%s: %v", c.allow, err)
		}
	}
	compile(t, "host: website.viloforge.com\nupstream: website\nroutes:\n  - { path: /, allow: { claims: { account: 9007199254740991 }, when: 'token.claims.account == -9007199254740991' } }\n")
}

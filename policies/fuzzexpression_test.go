package policies

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// FuzzExpression: no expression makes the compiler panic, every error has a place inside it, and one that compiles comes to
// an answer or to none for anybody, within its cost.
func FuzzExpression(f *testing.F) {
	for line := range strings.SplitSeq(expressive, "\n") {
		if _, expression, ok := strings.Cut(line, "when: '"); ok {
			expression, _, _ = strings.Cut(expression, "'")
			f.Add(expression)
		}
	}
	for _, text := range []string{
		"user", "user.", "true", "1", "''", "request.query", `request.query["a"]["b"]`, `has(token.claims.a) ? token.claims.a : false`,
		`[1,2].map(x, x*x).exists(y, y == 4)`, `user.roles.all(r, r in ["a"])`, `{"a": user.id}["a"] == ""`, "dyn(user.id) == 1", `type(user.id) == string`,
		`"\u00e9\n" == user.id`, "request.time.getFullYear() > 2000", `duration("1h") < request.time - user.auth_time`, "-9223372036854775808 == 1 / 0",
		`token.claims.a.b.c[0].d == null`, `request.path.matches("(a*)*b")`, "((((((((((true))))))))))", `request.headers["x"].size() > 1`, "`a`.b",
		`timestamp(token.claims.t) < request.time`, `bytes(user.id).size() == 0`, "user.roles[99] == 'a'", `double(token.claims.n) > 0.5`,
	} {
		f.Add(text)
	}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	people := []*Identity{
		nil, {}, {
			Issuer: "vilogate", User: "alice", Subject: "1", Email: "a@b.example", EmailVerified: true, Roles: []string{"a", "b"}, AMR: []string{"mfa"},
			AuthTime: now, IssuedAt: now, Expires: now,
			Claims: claimsOf{"a": map[string]any{"b": []any{1.0, "x", nil, true}}, "n": 1.5, "t": "2030-01-01T00:00:00Z", "s": strings.Repeat("a", 5000)},
		},
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := &compiler{o: testOptions}
		lines := strings.Count(text, "\n") + 1
		s := &expressionSyntax{word: word{text, strictyaml.Place{File: "f", Line: 1, Column: 1}}, inside: func(characters int) strictyaml.Place {
			if characters < 0 || characters > len([]rune(text))+lines {
				t.Errorf("character %d of %q", characters, text)
			}
			return strictyaml.Place{File: "f", Line: 1, Column: 1 + characters}
		}}
		x := c.expression(s)
		if (x == nil) == (len(c.errs) == 0) {
			t.Fatalf("%q: %v and %v", text, x, c.errs)
		}
		for _, e := range c.errs {
			if e.Msg == "" || strings.Contains(e.Msg, "\n") || e.Place.Line < 1 || e.Place.Column < 1 {
				t.Errorf("%q at %v", e.Msg, e.Place)
			}
		}
		if x == nil {
			return
		}
		for _, id := range people {
			e := &evaluation{id: id, segments: []string{"a", ":id"}, facts: Facts{
				Now: now, Method: "GET", Host: "website.viloforge.com", Path: parsed(t, "/a/b"), Query: "a=1&b=2", Client: netip.MustParseAddr("10.0.0.1"),
				Header: http.Header{"X": {"1", "2"}},
			}}
			if truth, err := x.evaluate(e); (truth == Unknown) != (err != nil) {
				t.Errorf("%q: %v, %v", text, truth, err)
			}
		}
	})
}

package policies

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const expressive = `
host: website.viloforge.com
upstream: website
rules:
  ours: { email_domains: [viloforge.com] }
  weekday: { when: 'request.time.getDayOfWeek("+01:00") in [1, 2, 3, 4, 5]' }
  working: { rule: ours, any: [{ rule: weekday }, { roles: [oncall] }] }
routes:
  - { path: /email, allow: { when: 'user.email.endsWith("@viloforge.com")' } }
  - { path: "/own/:name", allow: { when: 'request.params.name == user.username || "admin" in user.roles' } }
  - { path: "/rest/*rest", allow: { when: 'request.params["rest"].startsWith("a/b")' } }
  - { path: /claim, allow: { when: 'token.claims["level"] >= 3 && token.claims.department == "finance"' } }
  - { path: /nested, allow: { when: '"ops" in token.claims.groups && token.claims.org.unit == "it"' } }
  - { path: /query, allow: { when: '!("user" in request.query) || request.query.user == user.username' } }
  - { path: /header, allow: { when: 'request.headers["x-tenant"] == "a, b" && request.headers["X-Tenant"] != ""' } }
  - { path: /not/header, allow: { not: { when: 'request.headers["x-tenant"] == "a"' } } }
  - { path: /either/header, allow: { any: [{ when: 'request.headers["x-tenant"] == "a"' }, { roles: [admin] }] } }
  - { path: /not/both, allow: { not: { all: [{ when: 'request.headers["x-tenant"] == "a"' }, { roles: [guest] }] } } }
  - { path: /facts, allow: { when: 'request.method == "GET" && request.host == "website.viloforge.com" && request.path == "/facts" && request.ip == "10.0.0.1"' } }
  - { path: /outside, allow: { when: '!request.ip.startsWith("10.")' } }
  - { path: /not/inside, allow: { not: { when: 'request.ip.startsWith("10.")' } } }
  - { path: /nowhere, allow: { when: 'request.ip == ""' } }
  - { path: /admin/outside, allow: { when: '"admin" in user.roles || !request.ip.startsWith("10.")' } }
  - { path: /fresh, allow: { when: 'request.time - user.auth_time < duration("1h")' } }
  - { path: /factor, allow: { when: 'user.mfa_time > timestamp("2030-01-01T00:00:00Z") && "mfa" in user.amr' } }
  - { path: /token, allow: { when: 'token.bearer && token.issuer == "vilogate" && token.expires - token.issued_at == duration("15m")' } }
  - { path: /open, allow: { optional: true, when: 'user.username == "" || user.roles.exists(r, r.matches("^ad"))' } }
  - { path: /working, allow: { rule: working } }
`

func TestExpressions(t *testing.T) {
	t.Parallel()
	h := compile(t, expressive)
	now := time.Date(2030, 1, 2, 23, 30, 0, 0, time.UTC) // a Wednesday
	alice := &Identity{Issuer: "vilogate", User: "alice", Email: "alice@viloforge.com", EmailVerified: true, AuthTime: now.Add(-time.Minute)}
	finance := &Identity{User: "bob", Claims: claimsOf{"level": 3.0, "department": "finance", "groups": []any{"dev", "ops"}, "org": map[string]any{"unit": "it"}}}
	admin := &Identity{User: "root", Roles: []string{"admin"}}
	bearer := &Identity{Issuer: "vilogate", Bearer: true, IssuedAt: now, Expires: now.Add(15 * time.Minute)}
	for _, c := range []struct {
		target string
		id     *Identity
		want   Outcome
	}{
		{"/email", alice, Allow},
		{"/email", &Identity{Email: "a@viloforge.com"}, Deny}, // not verified
		{"/email", nil, Login},
		{"/own/alice", alice, Allow},
		{"/own/%61lice", alice, Allow},
		{"/own/bob", alice, Deny},
		{"/own/bob", admin, Allow},
		{"/rest/a/b/c", alice, Allow},
		{"/rest/a%62/c", alice, Deny},
		{"/rest", alice, Deny},
		{"/claim", finance, Allow},
		{"/claim", &Identity{Claims: claimsOf{"level": 2.0, "department": "finance"}}, Deny},
		{"/claim", &Identity{Claims: claimsOf{"level": "3", "department": "finance"}}, Deny},
		{"/claim", alice, Deny},
		{"/nested", finance, Allow},
		{"/nested", alice, Deny},
		{"/query", alice, Allow},
		{"/query?user=alice", alice, Allow},
		{"/query?a=%26&user=alic%65", alice, Allow},
		{"/query?user=bob", alice, Deny},
		{"/query?user=alice&user=bob", alice, BadRequest},
		{"/query?user=alice;user=bob", alice, BadRequest},
		{"/query?User=bob", alice, BadRequest},
		{"/query?user=alice&user=bob", nil, BadRequest},
		{"/header", alice, Allow},
		{"/not/header", alice, Allow},
		{"/facts", alice, Allow},
		{"/outside", alice, Deny},
		{"/fresh", alice, Allow},
		{"/fresh", admin, Deny}, // an expression asks for no fresher login, whatever it reads
		{"/factor", &Identity{AMR: []string{"mfa"}, AuthTime: now}, Allow},
		{"/factor", alice, Deny},
		{"/token", bearer, Allow},
		{"/token", alice, Deny},
		{"/open", nil, Allow},
		{"/open", admin, Allow},
		{"/open", alice, Deny},
		{"/working", alice, Allow},
		{"/working", admin, Deny},
	} {
		path, query, _ := strings.Cut(c.target, "?")
		f := Facts{
			Now: now, Method: "GET", Host: "website.viloforge.com", Path: parsed(t, path), Query: query,
			Client: netip.MustParseAddr("10.0.0.1"), Header: http.Header{"X-Tenant": {"a, b"}, "X-Other": {"1", "2"}},
		}
		if d := h.Match(f.Path, "GET").whole(f, c.id); d.Outcome != c.want || d.Reason == "" {
			t.Errorf("%s as %+v: %v, %s; want %v", c.target, c.id, d.Outcome, d.Reason, c.want)
		}
	}
}

// TestWhatIsNotKnownOpensNoDoor: an expression without an answer is no, behind a not too, and leaves other ways open.
func TestWhatIsNotKnownOpensNoDoor(t *testing.T) {
	t.Parallel()
	h := compile(t, expressive)
	alice, admin := &Identity{User: "alice"}, &Identity{User: "root", Roles: []string{"admin"}}
	for _, c := range []struct {
		path string
		id   *Identity
		want Outcome
	}{
		{"/header", alice, Deny},
		{"/not/header", alice, Deny},
		{"/not/header", admin, Deny},
		{"/either/header", alice, Deny},
		{"/either/header", admin, Allow},
		{"/not/both", alice, Allow}, // whatever the header is, she is no guest
		{"/not/both", &Identity{Roles: []string{"guest"}}, Deny},
		{"/outside", alice, Deny},
		{"/not/inside", alice, Deny},
		{"/nowhere", alice, Deny},
		{"/admin/outside", alice, Deny},
		{"/admin/outside", admin, Allow},
	} {
		f := Facts{Method: "GET", Path: parsed(t, c.path)} // no such header, and no address of a client
		if d := h.Match(f.Path, "GET").whole(f, c.id); d.Outcome != c.want {
			t.Errorf("%s as %s: %v, want %v", c.path, c.id.User, d.Outcome, c.want)
		}
	}
}

// TestExpressionsThatCostTooMuch at run time come to no answer: the values were longer than any request should have.
func TestExpressionsThatCostTooMuch(t *testing.T) {
	t.Parallel()
	h := compile(t, `
host: website.viloforge.com
upstream: website
routes:
  - { path: /, allow: { not: { when: 'token.claims.text.matches("x.*y.*z")' } } }
`)
	f := Facts{Method: "GET", Path: parsed(t, "/")}
	for size, want := range map[int]Outcome{1000: Allow, 2_000_000: Deny} {
		id := &Identity{Claims: claimsOf{"text": strings.Repeat("a", size)}}
		if d := h.Match(f.Path, "GET").whole(f, id); d.Outcome != want {
			t.Errorf("%d bytes: %v, want %v", size, d.Outcome, want)
		}
	}
}

// TestTextsThatAreTooLong have no answer, whatever the expression makes of them: the header of a stranger costs next to nothing.
func TestTextsThatAreTooLong(t *testing.T) {
	t.Parallel()
	h := compile(t, `
host: website.viloforge.com
upstream: website
routes:
  - { path: /a, allow: { optional: true, when: 'request.headers["x-a"].matches("[a-z]{300}[0-9]") || true' } }
  - { path: /b, allow: { optional: true, when: 'request.headers["x-a"] != ""' } }
  - { path: /c, allow: { optional: true, not: { when: 'request.query["x"] == ""' } } }
  - { path: "/d/:x", allow: { optional: true, when: 'request.params.x != ""' } }
  - { path: /e, allow: { optional: true, when: 'user.roles.size() > 0' } }
  - { path: /f, allow: { optional: true, when: 'token.claims.list.size() > 0' } }
`)
	for size, want := range map[int]Outcome{maxValue: Allow, maxValue + 1: Login, 60_000: Login} {
		long := strings.Repeat("a", size)
		for _, path := range []string{"/b", "/c", "/d/" + long} {
			f := Facts{Method: "GET", Path: parsed(t, path), Query: "x=" + long, Header: http.Header{"X-A": {long}}}
			if d := h.Match(f.Path, "GET").whole(f, nil); d.Outcome != want {
				t.Errorf("%d bytes, %.2s: %v, want %v", size, path, d.Outcome, want)
			}
		}
		if want == Allow {
			continue
		}
		for _, path := range []string{"/e", "/f"} {
			f := Facts{Method: "GET", Path: parsed(t, path)}
			id := &Identity{Roles: []string{long}, Claims: claimsOf{"list": []any{long}}}
			if d := h.Match(f.Path, "GET").whole(f, id); d.Outcome != Deny {
				t.Errorf("%d bytes, %s: %v", size, path, d.Outcome)
			}
		}
	}
	f := Facts{Method: "GET", Path: parsed(t, "/a"), Header: http.Header{"X-A": {strings.Repeat("a", 60_000)}}}
	started := time.Now()
	h.Match(f.Path, "GET").whole(f, nil)
	t.Logf("60 KB against [a-z]{300}[0-9]: %v", time.Since(started))
}

func TestReadsOfExpressions(t *testing.T) {
	t.Parallel()
	h := compile(t, expressive)
	reads := func(path string) Reads { return h.Match(parsed(t, path), "GET").Route.Reads }
	if r := reads("/query"); len(r.Query) != 1 || r.Query[0] != "user" {
		t.Errorf("%+v", r)
	}
	if r := reads("/header"); len(r.Headers) != 1 || r.Headers[0] != "X-Tenant" {
		t.Errorf("%+v", r)
	}
	if r := reads("/working"); !r.Now || r.Client {
		t.Errorf("%+v", r)
	}
	if r := reads("/facts"); r.Now || !r.Client {
		t.Errorf("%+v", r)
	}
	if r := reads("/nested"); len(r.Claims) != 2 {
		t.Errorf("%+v", r)
	}
}

// TestHeadersThatAreThereTwice are refused where the policy reads them: servers take the first, the last, or both.
func TestHeadersThatAreThereTwice(t *testing.T) {
	t.Parallel()
	h := compile(t, expressive)
	f := Facts{Method: "GET", Path: parsed(t, "/header"), Header: http.Header{"X-Tenant": {"a, b", "c"}}}
	for _, id := range []*Identity{nil, {User: "alice"}} {
		if d := h.Match(f.Path, "GET").whole(f, id); d.Outcome != BadRequest {
			t.Errorf("%v, %s", d.Outcome, d.Reason)
		}
	}
	f.Path = parsed(t, "/email")
	if d := h.Match(f.Path, "GET").whole(f, nil); d.Outcome != Login {
		t.Errorf("%v where nobody reads it", d.Outcome)
	}
}

package policies

import (
	"slices"
	"testing"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

const deciding = `
host: website.viloforge.com
upstream: website
cors: { origins: ["https://app.viloforge.com", "http://localhost:3000"], credentials: true }
routes:
  - { path: /public, methods: [GET], allow: public, on_stale: allow }
  - { path: /mixed, methods: [GET], allow: public }
  - { path: /mixed, methods: [POST], allow: authenticated }
  - { path: /me, allow: authenticated, websocket: true, method_override: pass }
  - { path: /deny, allow: deny }
  - { path: /admin, allow: { roles: [admin, root] } }
  - { path: /partner, allow: { roles: [admin], issuers: [partner], users: ["partner:bob", carol] } }
  - { path: /api, allow: authenticated, bearer: only }
  - { path: /api2, allow: { bearer: only } }
`

func TestDecisions(t *testing.T) {
	t.Parallel()
	h := compile(t, deciding)
	cookie := &Identity{Issuer: "vilogate", User: "alice", Roles: []string{"member"}}
	bearer := &Identity{Issuer: "vilogate", User: "alice", Roles: []string{"member"}, Bearer: true}
	admin := &Identity{Issuer: "vilogate", User: "root", Roles: []string{"a", "root", "z"}}
	bob := &Identity{Issuer: "partner", User: "partner:bob", Roles: []string{"admin"}}
	homonym := &Identity{Issuer: "vilogate", User: "partner:bob", Roles: []string{"admin"}}
	bobWithoutRole := &Identity{Issuer: "partner", User: "partner:bob"}
	for _, c := range []struct {
		method, path string
		id           *Identity
		want         Outcome
	}{
		{"GET", "/public", nil, Allow},
		{"HEAD", "/public", cookie, Allow},
		{"POST", "/public", nil, MethodNotAllowed}, // all of its routes are public
		{"POST", "/public", cookie, MethodNotAllowed},
		{"PUT", "/mixed", nil, Login}, // a stranger does not learn what else there is
		{"PUT", "/mixed", cookie, MethodNotAllowed},
		{"GET", "/nowhere", nil, Login},
		{"GET", "/nowhere", cookie, Deny},
		{"GET", "/me", nil, Login},
		{"GET", "/me", cookie, Allow},
		{"GET", "/me", &Identity{}, Allow},
		{"GET", "/deny", nil, Deny},
		{"GET", "/deny", admin, Deny},
		{"GET", "/admin", nil, Login},
		{"GET", "/admin", cookie, Deny},
		{"GET", "/admin", admin, Allow},
		{"GET", "/admin", &Identity{Roles: []string{"administrator", "Admin", ""}}, Deny},
		{"GET", "/partner", bob, Allow},
		{"GET", "/partner", homonym, Deny},
		{"GET", "/partner", bobWithoutRole, Deny},
		{"GET", "/partner", admin, Deny},
		{"GET", "/api", cookie, Deny},
		{"GET", "/api", bearer, Allow},
		{"GET", "/api", nil, Login},
		{"GET", "/api2", cookie, Deny},
		{"GET", "/api2", bearer, Allow},
		{"GET", "//public", nil, BadRequest},
		{"GET", "//nowhere", admin, BadRequest},
		{"PUT", "/mixed;x", admin, BadRequest},
	} {
		p := parsed(t, c.path)
		m := h.Match(p, c.method)
		d := m.whole(Facts{Now: time.Unix(0, 0), Method: c.method, Host: "website.viloforge.com", Path: p}, c.id)
		if d.Outcome != c.want || d.Reason == "" || d.Place.Line == 0 || d.Route != m.Route {
			t.Errorf("%s %s as %+v: %+v, want %v", c.method, c.path, c.id, d, c.want)
		}
		if wantAllow := c.want == MethodNotAllowed; wantAllow != (len(d.Allow) > 0) {
			t.Errorf("%s %s: Allow %q", c.method, c.path, d.Allow)
		}
	}
	d := h.Match(parsed(t, "/mixed"), "PUT").whole(Facts{}, cookie)
	if !slices.Equal(d.Allow, []string{"GET", "HEAD", "POST"}) {
		t.Errorf("Allow %q", d.Allow)
	}
}

func TestRouteSettings(t *testing.T) {
	t.Parallel()
	h := compile(t, deciding)
	public, me, api, api2 := h.Match(parsed(t, "/public"), "GET").Route, h.Match(parsed(t, "/me"), "GET").Route,
		h.Match(parsed(t, "/api"), "GET").Route, h.Match(parsed(t, "/api2"), "GET").Route
	if !public.Public() || !public.OnStaleAllow || public.WebSocket || public.BearerOnly || public.MethodOverridePass {
		t.Errorf("%+v", public)
	}
	if me.Public() || me.OnStaleAllow || !me.WebSocket || me.BearerOnly || !me.MethodOverridePass {
		t.Errorf("%+v", me)
	}
	if !api.BearerOnly || !api2.BearerOnly {
		t.Errorf("%+v %+v", api, api2)
	}
	if h.Upstream != "website" || h.Host != "website.viloforge.com" || h.Place.String() != "policy.yaml:2:7" {
		t.Errorf("%+v", h)
	}
}

// TestHostsOutsideTheDomain may have whatever does without the cookie.
func TestHostsOutsideTheDomain(t *testing.T) {
	t.Parallel()
	h := compile(t, `
host: api.example.org
upstream: website
routes:
  - { path: /, allow: public }
  - { path: /a, allow: authenticated, bearer: only }
  - { path: /b, allow: { roles: [admin], bearer: only } }
  - { path: /c, allow: deny }
tests:
  - { get: /a, as: { user: alice }, expect: allow }
  - { get: /b, as: { roles: [admin] }, expect: allow }
`)
	if h.Host != "api.example.org" {
		t.Error(h.Host)
	}
}

// TestWhereThereIsNoLoginHost of our own, that name is a host like any other.
func TestWhereThereIsNoLoginHost(t *testing.T) {
	t.Parallel()
	o := testOptions
	o.LoginHost = ""
	text := "host: login.viloforge.com\nupstream: website\nroutes: [{ path: /, allow: public }]\n"
	if _, err := Compile([]File{{"login.yaml", []byte(text)}}, o); err != nil {
		t.Error(err)
	}
}

// TestSessionsAreTheLoginHosts: a path of the IdP's among the gateway's own, which no other host has, and in one spelling.
func TestSessionsAreTheLoginHosts(t *testing.T) {
	t.Parallel()
	set, err := Compile([]File{{"any.yaml", []byte("host: website.viloforge.com\nupstream: website\npaths: case-insensitive\nroutes: [ { path: \"/*rest\", allow: public } ]\n")}}, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		host, target string
		kind         Kind
		outcome      Outcome
	}{
		{testOptions.LoginHost, PathSessions, LoginHost, Allow},
		{testOptions.LoginHost, PathSessions + "?a=1", LoginHost, Allow},
		{testOptions.LoginHost, PathSessions + "/", OwnPath, NotFound},
		{testOptions.LoginHost, "/.vilogate/Sessions", OwnPath, NotFound},
		{testOptions.LoginHost, "/.vilogate%2Fsessions", OwnPath, BadRequest},
		{testOptions.LoginHost, "//.vilogate/sessions", OwnPath, BadRequest},
		{testOptions.LoginHost, PathMe, OwnPath, Login},
		{"website.viloforge.com", PathSessions, OwnPath, NotFound},
	} {
		r := &Request{Method: "GET", Host: c.host, Target: c.target, Header: Fields{}}
		l := set.Locate(r)
		if d, err := set.Decide(r); err != nil || l.Kind != c.kind || d.Outcome != c.outcome {
			t.Errorf("%s%s: %v, %v (%v); want %v, %v", c.host, c.target, l.Kind, d.Outcome, err, c.kind, c.outcome)
		}
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	h := compile(t, deciding)
	const app = "https://app.viloforge.com"
	for _, c := range []struct {
		path, origin, method string
		headers              []string
		methods              []string // nil for no
	}{
		{"/mixed", app, "POST", []string{"content-type"}, []string{"GET", "HEAD", "POST"}},
		{"/mixed", "http://localhost:3000", "GET", []string{"Authorization", "x-request-id", "accept"}, []string{"GET", "HEAD", "POST"}},
		{"/me", app, "PUT", nil, []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}},
		{"/me", app, "PROPFIND", nil, []string{"PROPFIND", "DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}},
		{"/mixed", app, "PUT", nil, nil},
		{"/mixed", app, "post", nil, nil},
		{"/nowhere", app, "GET", nil, nil},
		{"//mixed", app, "POST", nil, nil},
		{"/mixed", app, "POST", []string{"x-user"}, nil},
		{"/mixed", "https://app.viloforge.com:8443", "POST", nil, nil},
		{"/mixed", "https://APP.viloforge.com", "POST", nil, nil},
		{"/mixed", "http://app.viloforge.com", "POST", nil, nil},
		{"/mixed", "https://app.viloforge.com.evil.example", "POST", nil, nil},
		{"/mixed", "null", "POST", nil, nil},
		{"/mixed", "", "POST", nil, nil},
	} {
		got, ok := h.Preflight(parsed(t, c.path), c.origin, c.method, c.headers)
		if ok != (c.methods != nil) || !slices.Equal(got.Methods, c.methods) {
			t.Errorf("%s %s from %q with %q: %q, %v", c.method, c.path, c.origin, c.headers, got.Methods, ok)
		}
		if ok && (got.MaxAge != 10*time.Minute || !got.Credentials || len(got.Headers) != 3) {
			t.Errorf("%+v", got)
		}
	}
	without := compile(t, "host: a.viloforge.com\nupstream: website\nroutes: [{ path: /, allow: public }]\n")
	if _, ok := without.Preflight(parsed(t, "/"), app, "GET", nil); ok || without.CORS != nil {
		t.Error("a host without cors answers a preflight")
	}
}

// TestOriginsMeanThePublicPort where they name none, as browsers will write them.
func TestOriginsMeanThePublicPort(t *testing.T) {
	t.Parallel()
	o := testOptions
	o.PublicPort = 8443
	text := `
host: website.viloforge.com
upstream: website
cors: { origins: ["https://a.viloforge.com", "https://b.viloforge.com:443", "HTTPS://C.viloforge.com:8443", "http://d.example"] }
routes: [{ path: /, allow: public }]
`
	set, err := Compile([]File{{"a.yaml", []byte(text)}}, o)
	if err != nil {
		t.Fatal(err)
	}
	want := []request.Origin{"https://a.viloforge.com:8443", "https://b.viloforge.com", "https://c.viloforge.com:8443", "http://d.example"}
	if got := set.Lookup("website.viloforge.com").CORS; !slices.Equal(got.Origins, want) || got.Credentials {
		t.Errorf("%+v", got)
	}
}

// TestGoodTests: each of the four words, for each of the outcomes that it stands for.
func TestGoodTests(t *testing.T) {
	t.Parallel()
	compile(t, deciding+`
tests:
  - { get: "/public?a=1&b=%zz", expect: allow }
  - { head: /public, as: {}, expect: allow }
  - { post: /public, expect: deny }
  - { post: /public, expect: login }
  - { post: /public, as: { user: alice }, expect: deny }
  - { put: /mixed, expect: login }
  - { options: /public, expect: deny }
  - { get: /nowhere, expect: login }
  - { get: /nowhere, as: { user: alice }, expect: deny }
  - { get: /deny, expect: deny }
  - { get: /%61dmin, as: { roles: [root] }, expect: allow }
  - { get: /x/..%2fadmin, as: { roles: [root] }, expect: deny }
  - { get: //admin, expect: deny }
  - { get: /partner, as: { user: "partner:bob", roles: [admin] }, expect: allow }
  - { get: /partner, as: { user: carol, issuer: partner, roles: [admin] }, expect: allow }
  - { get: /partner, as: { user: carol, roles: [admin] }, expect: deny }
  - { delete: /me, as: { user: alice, email: a@b.example, name: Alice, auth_age: 3d, mfa_age: 1h30m }, expect: allow }
  - { patch: /me, expect: login }
`)
}

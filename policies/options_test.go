package policies

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/policies/request"
)

const options = `
host: website.viloforge.com
upstream: website
tls: { min_version: "1.3", client_ca: clients.pem }
cors:
  origins: ["https://app.viloforge.com", "https://*.preview.viloforge.com", "https://*.example.org:8443"]
  methods: [GET, PUT]
  headers: [x-csrf-token, Content-Type]
  exposed_headers: [x-total-count]
  max_age: 1h
defaults:
  rate: 100/h per ip
  max_body: 1MiB
  timeout: 10s
  csrf: { exempt: ["https://forms.example"] }
  headers: { response: { set: { X-Frame-Options: DENY }, remove: [Server] } }
  websocket: true
  on_stale: allow
  streams: keep
  stream: true
  rewrite_host: "[FD00::1]:8080"
routes:
  - { path: /defaults, allow: authenticated }
  - path: "/own/*rest"
    allow: authenticated
    rate: 10/m per user
    max_body: 64KiB
    timeout: 1m30s
    csrf: { exempt: [] }
    strip_prefix: /own
    rewrite_host: "Own.internal:8080"
    websocket: false
    on_stale: refuse
    streams: end
    stream: false
    cors: { origins: ["*"] }
    headers:
      request: { set: { x-tenant: "a, b" }, remove: [user-agent] }
  - { path: /none, allow: authenticated, rate: none, max_body: none, timeout: none, rewrite_host: none, headers: {}, cors: none }
`

// TestRouteOptions: what a route says stands, else what the file says for all, else nothing.
func TestRouteOptions(t *testing.T) {
	t.Parallel()
	h := compile(t, options)
	route := func(path string) Route {
		r := *h.Match(parsed(t, path), "GET").Route
		return Route{
			Rate: r.Rate, MaxBody: r.MaxBody, Timeout: r.Timeout, CSRFExempt: r.CSRFExempt, StripPrefix: r.StripPrefix,
			RewriteHost: r.RewriteHost, Headers: r.Headers, WebSocket: r.WebSocket, OnStaleAllow: r.OnStaleAllow,
			KeepStreams: r.KeepStreams, StreamBodies: r.StreamBodies,
		}
	}
	forms := []request.Origin{"https://forms.example"}
	for path, want := range map[string]Route{
		"/defaults": {
			Rate: &Rate{gcra.Rate{Events: 100, Per: time.Hour}, PerIP}, MaxBody: 1 << 20, Timeout: 10 * time.Second, CSRFExempt: forms,
			RewriteHost: "[fd00::1]:8080", WebSocket: true, OnStaleAllow: true, KeepStreams: true, StreamBodies: true,
			Headers: Headers{Response: HeaderEdits{Remove: []string{"Server"}, Set: []HeaderField{{"X-Frame-Options", "DENY"}}}},
		},
		"/own/x": {
			Rate: &Rate{gcra.Rate{Events: 10, Per: time.Minute}, PerUser}, MaxBody: 64 << 10, Timeout: 90 * time.Second, StripPrefix: "/own",
			RewriteHost: "own.internal:8080",
			Headers:     Headers{Request: HeaderEdits{Remove: []string{"User-Agent"}, Set: []HeaderField{{"X-Tenant", "a, b"}}}},
		},
		"/none": {WebSocket: true, OnStaleAllow: true, KeepStreams: true, StreamBodies: true, CSRFExempt: forms},
	} {
		if got := route(path); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%+v, want\n%+v", path, got, want)
		}
	}
	if got := h.TLS; got == nil || got.MinVersion != 0x0304 || got.ClientCA != "clients.pem" || got.Place.String() != "policy.yaml:4:39" {
		t.Errorf("%+v", got)
	}
	if got := h.Match(parsed(t, "/own"), "GET").Route.Rate.String(); got != "10/m per user" {
		t.Error(got)
	}
}

func TestCORSOfRoutes(t *testing.T) {
	t.Parallel()
	h := compile(t, options)
	own, without := h.Match(parsed(t, "/own"), "GET"), h.Match(parsed(t, "/none"), "GET")
	for origin, want := range map[string]bool{
		"https://app.viloforge.com": true, "https://a.preview.viloforge.com": true, "https://a-1.example.org:8443": true,
		"https://preview.viloforge.com": false, "https://.preview.viloforge.com": false, "https://a.b.preview.viloforge.com": false,
		"https://A.preview.viloforge.com": false, "http://a.preview.viloforge.com": false, "https://a.preview.viloforge.com:8443": false,
		"https://a.example.org": false, "https://-.preview.viloforge.com": false, "https://evil.example/.preview.viloforge.com": false,
		"https://evil.example#.preview.viloforge.com": false, "https://a.preview.viloforge.com.evil.example": false, "null": false, "": false,
		"https://app.viloforge.com.": false, "https://a.preview.viloforge.com.": false, "https://a.example.org.:8443": false,
	} {
		if got := h.CORS.AllowsOrigin(origin); got != want {
			t.Errorf("%q: %v", origin, got)
		}
	}
	if !h.CORSFor(own).AllowsOrigin("https://anywhere.example") || h.CORSFor(own).AllowsOrigin("") || h.CORSFor(without) != nil ||
		h.CORSFor(h.Match(parsed(t, "/nowhere"), "GET")) != h.CORS {
		t.Error("the rules of a route are not its own")
	}
	if len(h.CORS.Origins) != 1 || len(h.CORSFor(own).Origins) != 0 {
		t.Errorf("wildcards among the origins that CSRF protection trusts: %q", h.CORS.Origins)
	}
	const app = "https://app.viloforge.com"
	answer, ok := h.Preflight(parsed(t, "/defaults"), app, "PUT", []string{"x-csrf-token"})
	if !ok || answer.MaxAge != time.Hour || !slices.Equal(answer.Methods, []string{"GET", "HEAD", "PUT"}) ||
		!slices.Equal(answer.Headers, []string{"X-Csrf-Token", "Content-Type"}) || answer.Credentials {
		t.Errorf("%+v, %v", answer, ok)
	}
	for path, method := range map[string]string{"/defaults": "POST", "/none": "GET"} {
		if _, ok := h.Preflight(parsed(t, path), app, method, nil); ok {
			t.Errorf("%s %s from %s was permitted", method, path, app)
		}
	}
	if _, ok := h.Preflight(parsed(t, "/defaults"), app, "PUT", []string{"authorization"}); ok {
		t.Error("a header that the list leaves out was permitted")
	}
}

// TestStrippedPrefixIsTheMatchedOne, however it is spelt, and what is left names no other host.
func TestStrippedPrefixIsTheMatchedOne(t *testing.T) {
	t.Parallel()
	h := compile(t, `
host: website.viloforge.com
upstream: website
defaults: { double_slash: allow, semicolon: allow, encoded_slash: allow }
routes:
  - { path: "/café/v 1/*rest", allow: public, strip_prefix: "/café/v 1/" }
  - { path: /café, allow: public, strip_prefix: /café }
  - { path: "/root/*rest", allow: public, strip_prefix: / }
  - { path: /admin/public, allow: public, strip_prefix: /admin }
  - { path: "/admin/*rest", allow: public, strip_prefix: /admin }
`)
	for path, want := range map[string]string{
		"/caf%c3%a9/v%201/a%2fb":     "/a%2Fb",
		"/caf%C3%A9/v%201":           "/",
		"/caf%C3%A9/v%201/":          "/",
		"//caf%C3%A9//v%201//a//b":   "/a//b",
		"/caf%C3%A9;x=1/v%201;y/a;z": "/a;z",
		"/caf%C3%A9":                 "/",
		"/caf%C3%A9/":                "/",
		"/root/a":                    "/root/a",
		"//root//a":                  "//root//a",
		// What does not count in matching does not count here either.
		"/;/admin/public":        "/public",
		"/%3Bz/admin/public":     "/public",
		"//;a/;b//admin/public":  "/public",
		"/;/admin;x":             "/",
		"/admin/;/public":        "/;/public",
		"/;a%2Fb/admin;/c":       "/c",
		"/%3b%2fadmin/admin/a/;": "/a/;",
	} {
		p := parsed(t, path)
		m := h.Match(p, "GET")
		if m.Route == nil || m.Ambiguities != 0 {
			t.Errorf("%s: %+v", path, m)
			continue
		}
		if prefix, want := m.Route.ForwardedPrefix, map[string]string{"/café/v 1": "/caf%C3%A9/v%201", "/café": "/caf%C3%A9", "/admin": "/admin"}[m.Route.StripPrefix]; prefix != want {
			t.Errorf("%s: the prefix is told as %q, want %q", path, prefix, want)
		}
		if got := m.Route.ForwardPath(p); got != want {
			t.Errorf("%s is forwarded as %q, want %q", path, got, want)
		}
	}
}

// TestShadowDecidesNothing: a route in the shadow is as if it were not there, and the shadow shows what it would do.
func TestShadowDecidesNothing(t *testing.T) {
	t.Parallel()
	h := compile(t, `
host: website.viloforge.com
upstream: website
routes:
  - { path: /open, allow: authenticated }
  - { path: /open, methods: [POST], allow: { roles: [admin] }, mode: shadow }
  - { path: /new, allow: public, mode: shadow }
  - { path: /opened, methods: [GET], allow: authenticated }
  - { path: /opened, methods: [GET], allow: public, mode: shadow }
  - { path: "/*rest", methods: [GET], allow: public }
`)
	alice := &Identity{Issuer: "vilogate", User: "alice"}
	for _, c := range []struct {
		method, path string
		live, shadow Outcome
	}{
		{"GET", "/open", Allow, Allow},
		{"POST", "/open", Allow, Deny},
		{"GET", "/new", Allow, Allow},
		{"POST", "/new", MethodNotAllowed, Allow}, // the live one is /*rest, for GET alone
	} {
		p := parsed(t, c.path)
		live := h.Match(p, c.method).whole(Facts{Method: c.method, Path: p}, alice)
		shadow := h.Shadow.Match(p, c.method).whole(Facts{Method: c.method, Path: p}, alice)
		if live.Outcome != c.live || shadow.Outcome != c.shadow || live.Route != nil && live.Route.Shadow {
			t.Errorf("%s %s: %v, in the shadow %v; want %v and %v", c.method, c.path, live.Outcome, shadow.Outcome, c.live, c.shadow)
		}
	}
	p := parsed(t, "/opened") // where all routes are public, a stranger may know that there are others
	live, shadow := h.Match(p, "PUT").whole(Facts{}, nil), h.Shadow.Match(p, "PUT").decide(Facts{}, nil)
	if live.Outcome != Login || shadow.Outcome != MethodNotAllowed {
		t.Errorf("%v, in the shadow %v", live.Outcome, shadow.Outcome)
	}
	if compile(t, deciding).Shadow != nil {
		t.Error("a host without such a route has a shadow")
	}
}

// Three lists name every option: the fields, the words that may stand on a route or under defaults, and what a route takes
// from its file.
func TestEveryOptionIsInEveryList(t *testing.T) {
	t.Parallel()
	var names []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[optionsSyntax]()) {
		names = append(names, f.Tag.Get("yaml"))
		var defaults optionsSyntax
		given := reflect.New(f.Type.Elem())
		reflect.ValueOf(&defaults).Elem().FieldByIndex(f.Index).Set(given)
		taken := reflect.ValueOf(optionsSyntax{}.withDefaults(&defaults)).FieldByIndex(f.Index)
		if taken.Pointer() != given.Pointer() {
			t.Errorf("%s under defaults does not reach a route", f.Name)
		}
	}
	if !slices.Equal(names, optionKeys) {
		t.Errorf("the fields are %q, the words %q", names, optionKeys)
	}
}

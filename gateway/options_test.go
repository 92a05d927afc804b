package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/policies"
)

// withRoutes has the site's host have these routes instead.
func withRoutes(t *testing.T, routes string) func(*Settings) {
	return func(st *Settings) {
		st.Policies = compile(t, "host: app.example.test\nupstream: app\n"+routes)
	}
}

func (s *site) cookie() string { return "Cookie: __Secure-sso=" + s.sign(s.grant()) }

func TestTheStrippedPathIsThePieceOfTheAuthorisedOne(t *testing.T) {
	s := newSite(t, withRoutes(t, `routes:
  - { path: "/app/v1/*rest", allow: public, strip_prefix: /app/v1, rewrite_host: "app.internal:8080", double_slash: allow, encoded_slash: allow, semicolon: allow }
`))
	for target, want := range map[string]string{
		"/app/v1":                "/",
		"/app/v1/":               "/",
		"/app/v1/users/7":        "/users/7",
		"/app/v1/users/7/?q=%zz": "/users/7/?q=%zz",
		"/%61pp/v1/caf%c3%a9":    "/caf%C3%A9",
		"/app/v1//evil.example/": "/evil.example/",
		"//app//v1//x":           "/x",
		"/app/v1/a%2Fb;x=1":      "/a%2Fb;x=1",
		"/app;a=b/v1;c/x":        "/x",
		"/app/v1/app/v1/x":       "/app/v1/x",
		"/app/v1/%2Fx":           "/%2Fx",
	} {
		resp := s.ask("GET", target, "X-Forwarded-Prefix: /evil")
		if resp.StatusCode != 200 {
			t.Errorf("%s: status %d", target, resp.StatusCode)
			continue
		}
		got := s.reached()
		if got.RequestURI != want || got.Host != "app.internal:8080" {
			t.Errorf("%s: the backend was asked for %s of %s, want %s", target, got.RequestURI, got.Host, want)
		}
		if got.Header.Get("X-Forwarded-Prefix") != "/app/v1" || got.Header.Get("X-Forwarded-Host") != "app.example.test" {
			t.Errorf("%s: %v", target, got.Header)
		}
	}
	for _, target := range []string{"/app/v1/../../admin", "/app/v1/%2e%2e/x", "/app/v1/..;/x", "/app/v1x", "/app"} {
		if resp := s.ask("GET", target); resp.StatusCode < 400 || s.reached() != nil {
			t.Errorf("%s: status %d", target, resp.StatusCode)
		}
	}
}

func TestHeadersAreSetAndRemoved(t *testing.T) {
	s := newSite(t, withRoutes(t, `routes:
  - path: /x
    allow: authenticated
    headers:
      request: { set: { X-Tenant: acme, Authorization: Basic abc }, remove: [User-Agent, Accept-Encoding] }
      response: { set: { X-Frame-Options: DENY }, remove: [Server, X-Powered-By] }
`))
	s.respond = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "old")
		w.Header().Set("X-Powered-By", "old")
		w.Header()["X-Frame-Options"] = []string{"ALLOWALL", "SAMEORIGIN"}
	}
	resp := s.ask("GET", "/x", s.cookie(), "X-Tenant: evil", "X-Tenant: evil", "User-Agent: curl", "Accept-Encoding: br")
	wantStatus(t, resp, 200)
	got := s.reached().Header
	if !slices.Equal(got["X-Tenant"], []string{"acme"}) || got.Get("Authorization") != "Basic abc" || got.Get("User-Agent") != "" ||
		got.Get("Accept-Encoding") != "" || got.Get("X-User") != "alice" {
		t.Errorf("the backend received %v", got)
	}
	if !slices.Equal(resp.Header["X-Frame-Options"], []string{"DENY"}) || resp.Header.Get("Server") != "" || resp.Header.Get("X-Powered-By") != "" {
		t.Errorf("the client received %v", resp.Header)
	}
}

// TestABodyIsNoLongerThanTheRouteTakes: said beforehand, or found out on the way.
func TestABodyIsNoLongerThanTheRouteTakes(t *testing.T) {
	s := newSite(t, withRoutes(t, "routes:\n  - { path: /x, allow: public, max_body: 1KiB }\n"))
	front := httptest.NewServer(s.gateway)
	defer front.Close()
	for _, c := range []struct {
		length  int
		chunked bool
		want    int
	}{{1024, false, 200}, {1024, true, 200}, {1025, false, 413}, {1025, true, 413}, {1 << 20, true, 413}, {1 << 20, false, 413}} {
		var body io.Reader = strings.NewReader(strings.Repeat("x", c.length))
		if c.chunked {
			body = bufio.NewReader(body)
		}
		r, err := http.NewRequest("POST", front.URL+"/x", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "app.example.test"
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		data, err := io.ReadAll(resp.Body)
		if resp.StatusCode != c.want || err != nil || c.want == 413 && !strings.Contains(string(data), "too-large") {
			t.Errorf("%+v: status %d, %s %v", c, resp.StatusCode, data, err)
		}
		_ = resp.Body.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, body := range s.bodies {
		if len(body) > 1024 {
			t.Errorf("the backend saw %d bytes", len(body))
		}
	}
}

func TestARouteHasATimeoutOfItsOwn(t *testing.T) {
	s := newSite(t, withRoutes(t, "routes:\n  - { path: /short, allow: public, timeout: 1s }\n  - { path: /long, allow: public, timeout: 1h }\n"),
		func(st *Settings) { st.Upstreams[0].Timeout = 50 * time.Millisecond })
	s.respond = func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			<-r.Context().Done() // until it is given up
			return
		}
		time.Sleep(100 * time.Millisecond) // longer than the upstream's own
	}
	wantStatus(t, s.ask("GET", "/short"), 504)
	wantStatus(t, s.ask("GET", "/long"), 200)
}

func TestOptionalAdmitsNobodyAndRefusesABadCredential(t *testing.T) {
	s := newSite(t, withRoutes(t, "routes:\n  - { path: /x, allow: optional }\n"))
	wantStatus(t, s.ask("GET", "/x"), 200)
	if got := s.reached(); got.Header.Get("X-User") != "" {
		t.Errorf("received %v", got.Header)
	}
	wantStatus(t, s.ask("GET", "/x", s.cookie()), 200)
	if got := s.reached(); got.Header.Get("X-User") != "alice" {
		t.Errorf("received %v", got.Header)
	}
	wantStatus(t, s.ask("GET", "/x", "Authorization: Basic abc"), 200)
	if got := s.reached(); got.Header.Get("Authorization") != "Basic abc" {
		t.Errorf("received %v", got.Header)
	}
	old := s.grant()
	old.IssuedAt, old.AuthTime, old.Expires = s.now.Add(-2*time.Hour), s.now.Add(-2*time.Hour), s.now.Add(-time.Hour)
	for _, line := range []string{
		"Cookie: __Secure-sso=" + s.sign(old), "Cookie: __Secure-sso=x", "Authorization: Bearer x", "Authorization: Bearer " + s.sign(old),
		"Cookie: __Secure-sso=a; __Secure-sso=b",
	} {
		wantStatus(t, s.ask("GET", "/x", line), 401)
		wantStatus(t, s.ask("GET", "/x", line, "Sec-Fetch-Dest: image"), 401)
	}
	s.revoked.stale = true
	wantStatus(t, s.ask("GET", "/x"), 200)
	wantStatus(t, s.ask("GET", "/x", s.cookie()), 503)
}

func TestCORSOfTheRouteComesBeforeTheHosts(t *testing.T) {
	s := newSite(t, withRoutes(t, `cors: { origins: ["https://website.example.test"], credentials: true }
routes:
  - { path: /host, allow: public }
  - { path: /none, allow: public, cors: none }
  - { path: /any, methods: [GET, PUT], allow: public, cors: { origins: ["*"], headers: [X-Custom], exposed_headers: [X-Total], methods: [PUT], max_age: 1h } }
  - { path: /below, allow: public, cors: { origins: ["https://*.example.test"] } }
`))
	const website, foreign = "https://website.example.test", "https://evil.test"
	for _, c := range []struct{ path, origin, allowed, credentials, exposed string }{
		{"/host", website, website, "true", alwaysExposed},
		{"/host", foreign, "", "", ""},
		{"/none", website, "", "", ""},
		{"/any", foreign, foreign, "", alwaysExposed + ", X-Total"},
		{"/below", "https://a.example.test", "https://a.example.test", "", alwaysExposed},
		{"/below", "https://a.b.example.test", "", "", ""},
		{"/below", "https://example.test", "", "", ""},
		{"/below", "https://a.example.test.evil.test", "", "", ""},
		{"/below", "http://a.example.test", "", "", ""},
		{"/below", "null", "", "", ""},
	} {
		h := s.ask("GET", c.path, "Origin: "+c.origin).Header
		s.reached()
		if h.Get("Access-Control-Allow-Origin") != c.allowed || h.Get("Access-Control-Allow-Credentials") != c.credentials ||
			h.Get("Access-Control-Expose-Headers") != c.exposed || (h.Get("Vary") == "Origin") != (c.path != "/none") {
			t.Errorf("%+v: %v", c, h)
		}
	}
	preflight := func(path, origin, method, headers string) *http.Response {
		return s.ask("OPTIONS", path, "Origin: "+origin, "Access-Control-Request-Method: "+method, "Access-Control-Request-Headers: "+headers)
	}
	resp := preflight("/any", foreign, "PUT", "x-custom")
	wantStatus(t, resp, 204)
	if h := resp.Header; h.Get("Access-Control-Allow-Methods") != "PUT" || h.Get("Access-Control-Allow-Headers") != "X-Custom" || h.Get("Access-Control-Max-Age") != "3600" {
		t.Errorf("%v", h)
	}
	wantStatus(t, preflight("/any", foreign, "GET", ""), 403)
	wantStatus(t, preflight("/any", foreign, "PUT", "authorization"), 403)
	wantStatus(t, preflight("/host", foreign, "GET", ""), 403)
	if s.reached() != nil {
		t.Error("a preflight reached the backend")
	}
	wantStatus(t, preflight("/none", website, "GET", ""), 200) // an ordinary request, that the route takes
	if s.reached() == nil {
		t.Error("an OPTIONS request without CORS rules did not reach the backend")
	}
}

func TestAFormOfAnExemptedOriginMayBePosted(t *testing.T) {
	s := newSite(t, withRoutes(t, `cors: { origins: ["https://*.example.test"] }
routes:
  - { path: /pay, methods: [POST], allow: authenticated, csrf: { exempt: ["https://pay.example"] } }
  - { path: /other, methods: [POST], allow: authenticated }
`))
	for _, c := range []struct {
		path, origin string
		want         int
	}{
		{"/pay", "https://pay.example", 200},
		{"/pay", "https://app.example.test", 200},
		{"/pay", "https://evil.example", 403},
		{"/pay", "https://sub.example.test", 403}, // a star vouches for nobody
		{"/other", "https://pay.example", 403},
	} {
		if resp := s.ask("POST", c.path, s.cookie(), "Origin: "+c.origin, "Sec-Fetch-Site: cross-site"); resp.StatusCode != c.want {
			t.Errorf("%+v: status %d", c, resp.StatusCode)
		}
		s.reached()
	}
}

func TestRates(t *testing.T) {
	s := newSite(t, withRoutes(t, `routes:
  - { path: /user, methods: [GET], allow: authenticated, rate: 2/m per user }
  - { path: /user, methods: [POST], allow: authenticated, rate: 1/m per user }
  - { path: /ip, allow: public, rate: 2/m per ip }
  - { path: /route, allow: public, rate: 1/h per route }
  - { path: /optional, allow: optional, rate: 1/m per user }
`))
	as := func(subject string) string {
		g := s.grant()
		g.Subject, g.User, g.ID = subject, strings.ToLower(subject), "t-"+subject
		return "Cookie: __Secure-sso=" + s.sign(g)
	}
	statuses := func(n int, ask func() *http.Response) (all []int) {
		for range n {
			all = append(all, ask().StatusCode)
			s.reached()
		}
		return all
	}
	want := func(what string, got []int, want ...int) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	want("one user", statuses(3, func() *http.Response { return s.ask("GET", "/user", as("u-1")) }), 200, 200, 429)
	want("another", statuses(1, func() *http.Response { return s.ask("GET", "/user", as("u-2")) }), 200)
	want("another route of the pattern", statuses(2, func() *http.Response {
		return s.ask("POST", "/user", as("u-1"), "Sec-Fetch-Site: same-origin")
	}), 200, 429)
	want("who is refused is not counted", statuses(3, func() *http.Response { return s.ask("GET", "/user") }), 401, 401, 401)
	want("everybody together", statuses(2, func() *http.Response { return s.ask("GET", "/route") }), 200, 429)
	want("nobody, by address", statuses(2, func() *http.Response { return s.ask("GET", "/optional") }), 200, 429)
	want("somebody, at the same address", statuses(1, func() *http.Response { return s.ask("GET", "/optional", as("u-1")) }), 200)

	from := func(address string) int {
		r := httptest.NewRequest("GET", "/ip", nil)
		r.RequestURI, r.Host, r.RemoteAddr = "/ip", "app.example.test", address
		w := httptest.NewRecorder()
		s.gateway.ServeHTTP(w, r)
		s.reached()
		return w.Code
	}
	want("an address", []int{from("192.0.2.1:1"), from("192.0.2.1:2"), from("[::ffff:192.0.2.1]:3"), from("192.0.2.2:1")}, 200, 200, 429, 200)
	want("a household", []int{from("[2001:db8::1]:1"), from("[2001:db8::2]:1"), from("[2001:db8::3]:1"), from("[2001:db8:0:1::1]:1")}, 200, 200, 429, 200)

	s.now = s.now.Add(30 * time.Second)
	resp := s.ask("GET", "/user", as("u-1"))
	if h := resp.Header; resp.StatusCode != 200 || h.Get("RateLimit-Policy") != `"per-user";q=2;w=60` || h.Get("RateLimit") != `"per-user";r=0;t=30` || h.Get("Retry-After") != "" {
		t.Errorf("%d %v", resp.StatusCode, h)
	}
	s.reached()
	resp = s.ask("GET", "/user", as("u-1"))
	body, err := io.ReadAll(resp.Body)
	if h := resp.Header; err != nil || resp.StatusCode != 429 || h.Get("Retry-After") != "30" || h.Get("RateLimit") != `"per-user";r=0;t=30` || !strings.Contains(string(body), "rate-limited") {
		t.Errorf("%d %v %s", resp.StatusCode, h, body)
	}

	// A reload does not forget.
	again, err := NewGeneration(s.gateway.generation.Load().Settings)
	if err != nil {
		t.Fatal(err)
	}
	s.gateway.Swap(again)
	if resp := s.ask("GET", "/user", as("u-1")); resp.StatusCode != 429 {
		t.Errorf("after a reload: %d", resp.StatusCode)
	}
}

// log is an audit log in memory.
type memoryLog struct {
	records []*audit.Record
	fail    error
}

func (l *memoryLog) Put(r *audit.Record) error {
	if l.fail == nil {
		l.records = append(l.records, r)
	}
	return l.fail
}

func (l *memoryLog) PutAside(r *audit.Record) { l.records = append(l.records, r) }

func (l *memoryLog) last(t *testing.T) *audit.Record {
	t.Helper()
	if len(l.records) == 0 {
		t.Fatal("nothing was recorded")
	}
	r := l.records[len(l.records)-1]
	l.records = nil
	return r
}

func TestEveryDecisionIsRecorded(t *testing.T) {
	log := &memoryLog{}
	s := newSite(t, func(st *Settings) { st.PoliciesID = "abc" })
	s.gateway.opts.Audit = log
	for _, c := range []struct {
		method, target, decision, route, rule string
		lines                                 []string
		status                                int
	}{
		{"GET", "/things/7?page=secret-in-query", "allow", "/things/:id", "app.yaml:9:5", []string{s.cookie()}, 200},
		{"GET", "/things/7", "login", "/things/:id", "app.yaml:9:5", nil, 401},
		{"GET", "/admin", "deny", "/admin", "app.yaml:7:5", []string{s.cookie()}, 403},
		{"PUT", "/things/7", "deny", "/things/:id", "app.yaml:9:5", []string{s.cookie()}, 405},
		{"GET", "/a%2Fb", "bad-request", "/*rest", "app.yaml:11:5", nil, 400},
		{"POST", "/things/7", "deny", "/things/:id", "app.yaml:9:5", []string{s.cookie(), "Sec-Fetch-Site: cross-site"}, 403},
		{"OPTIONS", "/things/7", "preflight", "/things/:id", "", []string{"Origin: https://website.example.test", "Access-Control-Request-Method: GET"}, 204},
		{"GET", "/.vilogate/me", "own", "/.vilogate/me", "", []string{s.cookie()}, 200},
		{"GET", "/x", "deny", "/*rest", "", []string{"Authorization: Bearer x"}, 401},
	} {
		wantStatus(t, s.ask(c.method, c.target, c.lines...), c.status)
		s.reached()
		if len(log.records) != 1 {
			t.Errorf("%s %s: %d records", c.method, c.target, len(log.records))
			continue
		}
		r := log.last(t)
		path, _, _ := strings.Cut(c.target, "?")
		if r.Decision != c.decision || r.Route != c.route || r.Rule != c.rule || r.Host != "app.example.test" || r.Method != c.method ||
			r.Path != path || r.Generation != "abc" || r.RequestID == "" || r.Client.String() != "192.0.2.7" {
			t.Errorf("%s %s: %+v", c.method, c.target, r)
		}
		signedIn := len(c.lines) > 0 && strings.HasPrefix(c.lines[0], "Cookie") && c.route != "/a"
		if signedIn != (r.Who != nil) || r.Who != nil && (r.Who.Subject != "u-1" || r.Who.Issuer != "vilogate" || r.Who.Session != "s-1" || r.Who.Credential != audit.ByCookie) {
			t.Errorf("%s %s: who is %+v", c.method, c.target, r.Who)
		}
	}
	if resp := s.askHost("other.example.test", "GET", "/", ""); resp.StatusCode != 404 || len(log.records) != 0 {
		t.Errorf("a host that nobody serves: %d, %d records", resp.StatusCode, len(log.records))
	}
	log.fail = errors.New("disk full")
	wantStatus(t, s.ask("GET", "/things/7", s.cookie()), 503)
	if s.reached() != nil {
		t.Error("a request without a record reached the backend")
	}
	wantStatus(t, s.ask("GET", "/things/7"), 401)
}

func TestShadowsChangeNothingAndAreRecorded(t *testing.T) {
	log := &memoryLog{}
	s := newSite(t, withRoutes(t, `routes:
  - { path: "/*rest", allow: authenticated }
  - { path: /admin, allow: { roles: [admin] }, mode: shadow }
`), func(st *Settings) {
		st.Shadow, st.ShadowID = compile(t, "host: app.example.test\nupstream: app\nroutes:\n  - { path: /open, allow: public }\n"), "next"
	})
	s.gateway.opts.Audit = log
	wantStatus(t, s.ask("GET", "/admin", s.cookie()), 200)
	s.reached()
	if got := log.last(t).Shadow; len(got) != 2 || got[0].Decision != "deny" || got[0].Rule != "app.yaml:5:5" || got[0].Generation != "" || got[1].Decision != "deny" || got[1].Generation != "next" {
		t.Errorf("%+v", got)
	}
	wantStatus(t, s.ask("GET", "/open"), 401)
	if got := log.last(t).Shadow; len(got) != 1 || got[0].Decision != "allow" || got[0].Generation != "next" {
		t.Errorf("%+v", got)
	}
	wantStatus(t, s.ask("GET", "/x"), 401)
	if got := log.last(t).Shadow; len(got) != 0 {
		t.Errorf("they agree: %+v", got)
	}
	if !strings.Contains(s.log.String(), `"shadow":{"folder":true,"decision":"allow"`) {
		t.Errorf("the access record does not say so: %s", s.log.String())
	}
}

func TestValuesThatMayBeSecretsAreWithheld(t *testing.T) {
	for name, want := range map[string]bool{
		"Authorization": true, "Cookie": true, "X-Api-Key": true, "X-Csrf-Token": true, "X-Session-Id": true,
		"User-Agent": false, "Accept-Language": false, "X-Tenant": false,
	} {
		if isSecret(name) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
	log := &memoryLog{}
	s := newSite(t)
	s.gateway.opts.Audit = log
	x := &exchange{g: s.gateway, r: httptest.NewRequest("GET", "/?page=1", nil), match: policies.Match{Route: &policies.Route{
		Reads: policies.Reads{Headers: []string{"X-Api-Key", "X-Tenant", "X-None"}, Query: []string{"page"}},
	}}}
	x.r.Header.Set("X-Tenant", "acme")
	x.r.Header.Set("X-Api-Key", "hunter2")
	x.noteFacts()
	if got := fmt.Sprint(x.facts.Headers, x.facts.Withheld, x.facts.Claims); got != "map[x-tenant:[acme]] [headers.x-api-key query.page] map[]" {
		t.Errorf("%s", got)
	}
}

package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
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
  - { path: "/café/*rest", allow: public, strip_prefix: /café }
`))
	wantStatus(t, s.ask("GET", "/caf%C3%A9/x"), 200)
	if got := s.reached().Header.Get("X-Forwarded-Prefix"); got != "/caf%C3%A9" {
		t.Errorf("the prefix is told as %q", got)
	}
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

// TestWhatTheRouteSpeaksOfIsSaidInOneWay: not by a name that servers fold, nor by a trailer.
func TestWhatTheRouteSpeaksOfIsSaidInOneWay(t *testing.T) {
	s := newSite(t, withRoutes(t, `routes:
  - path: /x
    allow: { optional: true, when: 'request.headers["x-plan"] == "free"' }
    headers: { request: { set: { X-Tenant: acme }, remove: [X-Secret] } }
`), func(st *Settings) { st.Upstreams[0].OddHeaders = PassOdd })
	front := serveHTTP1(t, s.gateway)
	r, err := http.NewRequest("POST", front+"/x", bufio.NewReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "app.example.test"
	r.Header = http.Header{"X_Tenant": {"evil"}, "x.secret": {"evil"}, "X-Plan": {"free"}, "X_Plan": {"evil"}, "X_Other": {"passes"}}
	r.Trailer = http.Header{"X-Tenant": {"evil"}, "X-Secret": {"evil"}, "X-Plan": {"evil"}, "X-Sum": {"passes"}}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	wantStatus(t, resp, 200)
	got := s.reached()
	if said := fmt.Sprint(got.Header, got.Trailer); strings.Contains(said, "evil") || got.Header.Get("X-Tenant") != "acme" {
		t.Errorf("the backend received %s", said)
	}
	if got.Header["X_other"] == nil || got.Trailer.Get("X-Sum") != "passes" {
		t.Errorf("what the route does not speak of does not pass: %v %v", got.Header, got.Trailer)
	}
}

// TestABodyIsNoLongerThanTheRouteTakes: said beforehand, or found out on the way.
func TestABodyIsNoLongerThanTheRouteTakes(t *testing.T) {
	s := newSite(t, withRoutes(t, "routes:\n  - { path: /x, allow: public, max_body: 1KiB }\n"))
	front := serveHTTP1(t, s.gateway)
	for _, c := range []struct {
		length  int
		chunked bool
		want    int
	}{{1024, false, 200}, {1024, true, 200}, {1025, false, 413}, {1025, true, 413}, {1 << 20, true, 413}, {1 << 20, false, 413}} {
		var body io.Reader = strings.NewReader(strings.Repeat("x", c.length))
		if c.chunked {
			body = bufio.NewReader(body)
		}
		r, err := http.NewRequest("POST", front+"/x", body)
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
		func(st *Settings) { st.Upstreams[0].Timeout = time.Nanosecond })
	s.respond = func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			<-r.Context().Done() // until it is given up
		}
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

	// The page says who asked too often.
	for _, c := range []struct{ path, line, want string }{
		{"/user", as("u-1"), "You asked"}, {"/ip", "", "your network address"}, {"/route", "", "everybody together"},
	} {
		lines := []string{navigation}
		if c.line != "" {
			lines = append(lines, c.line)
		}
		var refused string
		for range 4 {
			resp := s.ask("GET", c.path, lines...)
			s.reached()
			if text, err := io.ReadAll(resp.Body); err != nil {
				t.Fatal(err)
			} else if resp.StatusCode == 429 {
				refused = string(text)
			}
		}
		if !strings.Contains(refused, c.want) {
			t.Errorf("%s: %s", c.path, refused)
		}
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

// TestAPolicyReadsNoHeaderThatEndsHere: what Connection names is not forwarded, so that no policy may have judged it.
func TestAPolicyReadsNoHeaderThatEndsHere(t *testing.T) {
	s := newSite(t, withRoutes(t, `routes:
  - { path: /reads, allow: { when: 'request.headers["x-tenant"] == "gold"' } }
  - { path: /other, allow: authenticated }
`))
	for _, line := range []string{"X-Tenant", "x-tenant", "close, X-TENANT", "close,x_tenant ,", "\tX-Tenant\t"} {
		wantStatus(t, s.ask("GET", "/reads", s.cookie(), "X-Tenant: gold", "Connection: "+line), 400)
		wantStatus(t, s.ask("GET", "/reads", s.cookie(), "X-Tenant: gold", "Connection: close", "Connection: "+line), 400)
		if s.reached() != nil {
			t.Errorf("Connection: %q: forwarded", line)
		}
	}
	wantStatus(t, s.ask("GET", "/reads", s.cookie(), "X-Tenant: gold", "Connection: close, X-Tenant-2"), 200)
	if got := s.reached(); got.Header.Get("X-Tenant") != "gold" {
		t.Errorf("the backend did not get what the policy read: %v", got.Header)
	}
	wantStatus(t, s.ask("GET", "/other", s.cookie(), "X-Tenant: gold", "Connection: X-Tenant"), 200)
}

// TestAReloadKeepsTheConnectionsOfRouteTimeouts: a reload drops nothing, be it idle after a request with a route's own timeout;
// what no upstream needs any more goes.
func TestAReloadKeepsTheConnectionsOfRouteTimeouts(t *testing.T) {
	s := newSite(t, withRoutes(t, `routes: [{ path: /slow, allow: public, timeout: 90s }]
`))
	address := func() string {
		t.Helper()
		resp := s.ask("GET", "/slow")
		wantStatus(t, resp, 200)
		return s.reached().RemoteAddr
	}
	reload := func(edit func(*Settings)) {
		t.Helper()
		settings := s.gateway.generation.Load().Settings
		edit(&settings)
		next, err := NewGeneration(settings)
		if err != nil {
			t.Fatal(err)
		}
		s.gateway.Swap(next)
	}
	first := address()
	reload(func(*Settings) {})
	if again := address(); again != first {
		t.Errorf("the backend was asked over %s, and after a reload over %s", first, again)
	}
	if n := s.gateway.connections.IdleCount(); n != 1 {
		t.Errorf("%d connections are kept, want 1", n)
	}
	reload(func(st *Settings) { st.Upstreams[0].KeepAlive = time.Minute - 1 })
	if n := s.gateway.connections.IdleCount(); n != 0 {
		t.Errorf("%d connections are kept that no upstream asks for any more", n)
	}
}

// A rate that was changed counts afresh: what was owed to the one before is not
// owed to it.
func TestALooserRateLetsInAtOnce(t *testing.T) {
	s := newSite(t, withRoutes(t, `routes: [{ path: /ip, allow: public, rate: 2/d per ip }]`))
	statuses := func(n int) (all []int) {
		for range n {
			all = append(all, s.ask("GET", "/ip").StatusCode)
			s.reached()
		}
		return all
	}
	if got := statuses(3); !slices.Equal(got, []int{200, 200, 429}) {
		t.Fatalf("%v", got)
	}
	settings := s.gateway.generation.Load().Settings
	withRoutes(t, `routes: [{ path: /ip, allow: public, rate: 1000/m per ip }]`)(&settings)
	loosened, err := NewGeneration(settings)
	if err != nil {
		t.Fatal(err)
	}
	s.gateway.Swap(loosened)
	if got := statuses(3); !slices.Equal(got, []int{200, 200, 200}) {
		t.Errorf("after the change: %v", got)
	}
}

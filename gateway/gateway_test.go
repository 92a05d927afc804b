package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies"
)

const sitePolicy = `
host: app.example.test
upstream: app
cors: { origins: ["https://website.example.test"], credentials: true }
routes:
  - { path: "/public/*rest", allow: public }
  - { path: /admin, allow: { roles: [admin] } }
  - { path: "/ws", allow: authenticated, websocket: true }
  - { path: "/things/:id", methods: [GET, POST], allow: authenticated }
  - { path: "/override", allow: authenticated, method_override: pass }
  - { path: "/*rest", allow: authenticated }
`

// site is a gateway in front of one recording backend, with an issuer of our
// own whose tokens it accepts. Its clock is the test's.
type site struct {
	t        *testing.T
	gateway  *Gateway
	key      *token.PrivateKey
	assert   *token.PrivateKey
	now      time.Time
	log      bytes.Buffer
	backend  *httptest.Server
	respond  http.HandlerFunc // what the backend does; nil: 200
	revoked  *revocations
	mu       sync.Mutex
	received []*http.Request
	bodies   []string
}

// revocations is a list whose trouble a test can choose.
type revocations struct {
	mu      sync.Mutex
	stale   bool
	fail    error
	entries []revocation.Entry
}

func (r *revocations) Stale(time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stale
}

func (r *revocations) Publish(_ context.Context, entries ...revocation.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.entries = append(r.entries, entries...)
	return nil
}

func (r *revocations) covers(c *token.Claims) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.Kind == revocation.Session && e.ID == c.Session() || e.Kind == revocation.Subject && e.ID == c.Subject() && !c.IssuedAt().After(e.Moment) {
			return true
		}
	}
	return false
}

const legacySecret = "a secret of the guide, 32 bytes or more"

func newSite(t *testing.T, edit ...func(*Settings)) *site {
	t.Helper()
	s := &site{t: t, now: time.Unix(1_800_000_000, 0), revoked: &revocations{}}
	s.key, s.assert = newKey(t), newKey(t)
	s.backend = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Logf("the backend read %q and then: %v", body, err)
		}
		s.mu.Lock()
		s.received = append(s.received, r)
		s.bodies = append(s.bodies, string(body))
		s.mu.Unlock()
		if s.respond != nil {
			s.respond(w, r)
		}
	}))
	t.Cleanup(s.backend.Close)
	verifier, err := token.NewVerifier(token.VerifierConfig{
		Issuers: []token.IssuerConfig{
			{Name: token.OwnIssuer, ISS: "https://login.example.test", Audiences: []string{"example"}, Keys: jwks.Static([]token.PublicKey{s.key.Public()}), Cookie: "__Secure-sso", Own: true},
			{Name: "legacy", Secret: []byte(legacySecret), Algorithm: "HS256", Cookie: "jwt", ClaimUser: "username", ClaimEmail: "email"},
		},
		Refuse:     []string{"https://example.test"},
		CacheBytes: 64 << 20,
		Revoked:    s.revoked.covers,
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile([]policies.File{{Name: "app.yaml", Data: []byte(sitePolicy)}}, policies.Options{
		Domain: "example.test", LoginHost: "login.example.test", PublicPort: 443,
		Upstreams: []string{"app"}, Issuers: []string{token.OwnIssuer, "legacy"},
	})
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(s.backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	settings := Settings{
		Domain: "example.test", PublicPort: 443, Policies: set, Verifier: verifier,
		Upstreams: []Upstream{{Name: "app", URLs: []*url.URL{address}}},
		Cookies:   []Cookie{{"__Secure-sso", token.OwnIssuer}, {"jwt", "legacy"}},
		Login: Login{Host: "login.example.test", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Seen", r.Host+" "+r.URL.Path+" "+r.RemoteAddr+" "+r.Header.Get("X-User"))
		})},
	}
	for _, e := range edit {
		e(&settings)
	}
	s.gateway, err = New(Options{
		AssertionKey: s.assert, AssertionKeys: func() []byte { return token.MarshalSet([]token.PublicKey{s.assert.Public()}) },
		Revocations: s.revoked, Log: slog.New(slog.NewJSONHandler(&s.log, nil)), Now: func() time.Time { return s.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	generation, err := NewGeneration(settings)
	if err != nil {
		t.Fatal(err)
	}
	s.gateway.Swap(generation)
	t.Cleanup(s.gateway.Close)
	return s
}

func newKey(t testing.TB) *token.PrivateKey {
	t.Helper()
	key, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// grant is alice's, good for an hour from now.
func (s *site) grant() token.Grant {
	return token.Grant{
		Issuer: "https://login.example.test", Audience: "example", Subject: "u-1", User: "alice", Email: "alice@example.test",
		Name: "Alice Ünlü", Session: "s-1", ID: "t-1", Roles: []string{"member"}, AMR: []string{"pwd"},
		AuthTime: s.now, IssuedAt: s.now, Expires: s.now.Add(time.Hour),
	}
}

func (s *site) sign(g token.Grant) string {
	s.t.Helper()
	raw, err := s.key.SignAccess(g)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// ask sends one request through the gateway. Headers are "Name: value" lines.
func (s *site) ask(method, target string, lines ...string) *http.Response {
	s.t.Helper()
	return s.askHost("app.example.test", method, target, "", lines...)
}

func (s *site) askHost(host, method, target, body string, lines ...string) *http.Response {
	s.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "/", reader)
	r.RequestURI, r.Host = target, host
	r.RemoteAddr = "192.0.2.7:1234"
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		// As net/http does, without correcting names that it leaves alone.
		name = http.CanonicalHeaderKey(name)
		r.Header[name] = append(r.Header[name], value)
	}
	w := httptest.NewRecorder()
	s.gateway.ServeHTTP(w, r)
	return w.Result()
}

// reached returns the one request that the backend received, or nil.
func (s *site) reached() *http.Request {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.received) > 1 {
		s.t.Fatalf("the backend received %d requests", len(s.received))
	}
	if len(s.received) == 0 {
		return nil
	}
	r := s.received[0]
	s.received, s.bodies = nil, nil
	return r
}

func wantStatus(t *testing.T, resp *http.Response, want int) {
	t.Helper()
	if resp.StatusCode != want {
		body, err := io.ReadAll(resp.Body)
		t.Fatalf("status %d, want %d: %s %v", resp.StatusCode, want, body, err)
	}
}

func TestIdentityReachesTheBackend(t *testing.T) {
	s := newSite(t)
	resp := s.ask("GET", "/things/7?q=a;b=%zz", "Cookie: a=1; __Secure-sso="+s.sign(s.grant())+"; b=2", "Accept: text/html")
	wantStatus(t, resp, 200)
	got := s.reached()
	for name, want := range map[string]string{
		"X-User": "alice", "X-User-Id": "u-1", "X-User-Email": "alice@example.test", "X-User-Name": "Alice %C3%9Cnl%C3%BC",
		"X-User-Roles": "member", "Cookie": "a=1; b=2", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https",
		"X-Forwarded-Host": "app.example.test", "X-Real-Ip": "192.0.2.7", "Authorization": "",
		"Forwarded": "for=192.0.2.7;host=app.example.test;proto=https", "X-Request-Id": resp.Header.Get("X-Request-Id"),
	} {
		if got := got.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got.Host != "app.example.test" || got.RequestURI != "/things/7?q=a;b=%zz" {
		t.Errorf("the backend was asked %s for %s", got.Host, got.RequestURI)
	}
	assertion, err := token.VerifyAssertion(got.Header.Get("X-User-Assertion"), jwks.Static([]token.PublicKey{s.assert.Public()}), "https://example.test", "app", s.now)
	if err != nil || assertion.User != "alice" || assertion.Session != "s-1" {
		t.Errorf("assertion %+v: %v", assertion, err)
	}
}

func TestAssertionIsReusedUntilHalfItsLifeHasPassed(t *testing.T) {
	s := newSite(t)
	cookie := "Cookie: __Secure-sso=" + s.sign(s.grant())
	ask := func() string {
		wantStatus(t, s.ask("GET", "/x", cookie), 200)
		return s.reached().Header.Get("X-User-Assertion")
	}
	first := ask()
	s.now = s.now.Add(29 * time.Second)
	if ask() != first {
		t.Error("a new assertion after 29 s")
	}
	s.now = s.now.Add(time.Second)
	if ask() == first {
		t.Error("the old assertion after 30 s")
	}
}

func TestAStrangersHeadersNeverReachTheBackend(t *testing.T) {
	s := newSite(t)
	hostile := []string{
		"X-User: admin", "X_User: admin", "x.user-roles: admin", "X-User-Assertion: a.b.c", "Remote-User: admin", "X_Forwarded_Proto: http",
		"X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-HTTP-Method-Override: DELETE",
		"X-Request-Id: mine", "Connection: close, X-User, X-Real-Ip", "Upgrade: h2c", "Odd_Name: 1",
	}
	wantStatus(t, s.ask("GET", "/public/x", hostile...), 200)
	got := s.reached()
	for name, values := range got.Header {
		for _, value := range values {
			if strings.Contains(value, "admin") || strings.Contains(value, "6.6.6.6") || value == "mine" || strings.Contains(value, "h2c") {
				t.Errorf("the backend received %s: %s", name, value)
			}
		}
	}
	for _, name := range []string{"X-User", "X_user", "Odd_name", "X-Http-Method-Override", "Upgrade"} {
		if values, ok := got.Header[name]; ok {
			t.Errorf("the backend received %s: %q", name, values)
		}
	}
	wantStatus(t, s.ask("GET", "/things/7", append(hostile, "Cookie: __Secure-sso="+s.sign(s.grant()))...), 200)
	if got := s.reached(); got.Header.Get("X-User") != "alice" || got.Header.Get("X-Real-Ip") != "192.0.2.7" {
		t.Errorf("X-User %q, X-Real-IP %q", got.Header.Get("X-User"), got.Header.Get("X-Real-Ip"))
	}
}

func TestDecisions(t *testing.T) {
	s := newSite(t)
	alice := "Cookie: __Secure-sso=" + s.sign(s.grant())
	boss := s.grant()
	boss.Roles, boss.ID = []string{"admin"}, "t-2"
	expired := s.grant()
	expired.IssuedAt, expired.AuthTime, expired.Expires = s.now.Add(-2*time.Hour), s.now.Add(-2*time.Hour), s.now.Add(-time.Second)
	const html, site = "Accept: text/html", "Sec-Fetch-Site: same-origin"
	for _, test := range []struct {
		name, method, target string
		lines                []string
		status               int
	}{
		{"public", "GET", "/public/a", nil, 200},
		{"stranger in a browser", "GET", "/things/1", []string{html}, 302},
		{"stranger's program", "GET", "/things/1", nil, 401},
		{"signed in", "GET", "/things/1", []string{alice}, 200},
		{"not allowed", "GET", "/admin", []string{alice}, 403},
		{"allowed by role", "GET", "/admin", []string{"Authorization: Bearer " + s.sign(boss)}, 200},
		{"expired cookie", "GET", "/things/1", []string{"Cookie: __Secure-sso=" + s.sign(expired)}, 401},
		{"expired Bearer token beside a good cookie", "GET", "/things/1", []string{alice, "Authorization: Bearer " + s.sign(expired)}, 401},
		{"expired Bearer token on a public route", "GET", "/public/1", []string{"Authorization: Bearer " + s.sign(expired)}, 401},
		{"opaque Bearer token on a public route", "GET", "/public/1", []string{"Authorization: Bearer opaque"}, 200},
		{"opaque Bearer token", "GET", "/things/1", []string{"Authorization: Bearer opaque"}, 401},
		{"two Authorization lines", "GET", "/public/1", []string{"Authorization: Basic a", "Authorization: Bearer b"}, 400},
		{"method of another route", "DELETE", "/things/1", []string{alice}, 405},
		{"method of another route, stranger", "DELETE", "/things/1", nil, 401},
		{"CONNECT", "CONNECT", "/public/1", nil, 405},
		{"TRACE", "TRACE", "/public/1", nil, 405},
		{"dot segments", "GET", "/public/..%2fadmin", []string{alice}, 400},
		{"double slash", "GET", "/public//x", nil, 400},
		{"absolute form", "GET", "http://app.example.test/public/x", nil, 400},
		{"forged", "POST", "/things/1", []string{alice}, 403},
		{"same origin", "POST", "/things/1", []string{alice, site}, 200},
		{"allowed origin", "POST", "/things/1", []string{alice, "Origin: https://website.example.test"}, 200},
		{"foreign origin", "POST", "/things/1", []string{alice, "Origin: https://evil.test"}, 403},
		{"Bearer needs no origin", "POST", "/things/1", []string{"Authorization: Bearer " + s.sign(boss)}, 200},
		{"own path, odd spelling", "GET", "//.vilogate/me", nil, 400},
		{"own path, unknown", "GET", "/.vilogate/nothing", nil, 404},
		{"me", "GET", "/.vilogate/me", []string{alice}, 200},
		{"me, nobody", "GET", "/.vilogate/me", nil, 401},
		{"keys", "GET", "/.well-known/vilogate/jwks.json", nil, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.t = t
			resp := s.ask(test.method, test.target, test.lines...)
			wantStatus(t, resp, test.status)
			if got := s.reached(); (got != nil) != (test.status == 200 && !isOwn(test.target)) {
				t.Errorf("the backend received %v", got)
			}
			if resp.Header.Get("X-Request-Id") == "" {
				t.Error("no request id")
			}
		})
	}
}

func TestUnknownHost(t *testing.T) {
	s := newSite(t)
	wantStatus(t, s.askHost("other.example.test", "GET", "/", ""), 404)
	wantStatus(t, s.askHost("app.example.test.", "GET", "/public/x", ""), 400)
}

func TestPublicRouteForwardsAForgedRequestAsAnonymous(t *testing.T) {
	s := newSite(t)
	wantStatus(t, s.ask("POST", "/public/x", "Cookie: __Secure-sso="+s.sign(s.grant())+"; a=1", "Origin: https://evil.test"), 200)
	if got := s.reached(); got.Header.Get("X-User") != "" || got.Header.Get("X-User-Assertion") != "" || got.Header.Get("Cookie") != "a=1" {
		t.Errorf("the backend received %v", got.Header)
	}
}

func TestStaleRevocationsAre503OnProtectedRoutesAlone(t *testing.T) {
	s := newSite(t)
	s.revoked.stale = true
	cookie := "Cookie: __Secure-sso=" + s.sign(s.grant())
	resp := s.ask("GET", "/things/1", cookie)
	wantStatus(t, resp, 503)
	if resp.Header.Get("Retry-After") == "" || resp.Header.Get("Set-Cookie") != "" {
		t.Errorf("headers %v", resp.Header)
	}
	wantStatus(t, s.ask("GET", "/public/1", cookie), 200)
	if got := s.reached(); got.Header.Get("X-User") != "" || got.Header.Get("Cookie") != "" {
		t.Errorf("a public route got %v", got.Header)
	}
}

func TestLogoutIsSaidOnlyAfterTheWrite(t *testing.T) {
	s := newSite(t)
	old := s.grant()
	old.IssuedAt, old.AuthTime, old.Expires = s.now.Add(-48*time.Hour), s.now.Add(-48*time.Hour), s.now.Add(-47*time.Hour)
	cookie := "Cookie: __Secure-sso=" + s.sign(s.grant())
	const site = "Sec-Fetch-Site: same-origin"

	s.revoked.fail = errors.New("the log is away")
	resp := s.ask("POST", "/.vilogate/logout", cookie, site)
	wantStatus(t, resp, 503)
	if resp.Header.Get("Set-Cookie") != "" {
		t.Error("cookies cleared although nothing was written")
	}
	s.revoked.fail = nil
	wantStatus(t, s.ask("GET", "/things/1", cookie), 200)
	s.reached()

	wantStatus(t, s.ask("POST", "/.vilogate/logout", cookie), 403)
	wantStatus(t, s.ask("GET", "/.vilogate/logout", cookie, site), 405)
	resp = s.ask("POST", "/.vilogate/logout", site, "Sec-Fetch-Mode: cors")
	wantStatus(t, resp, 401)
	resp = s.ask("POST", "/.vilogate/logout", site, "Sec-Fetch-Mode: navigate")
	wantStatus(t, resp, 303)
	if got := resp.Header.Get("Location"); got != "https://login.example.test/logout" {
		t.Errorf("without a cookie to %q", got)
	}

	resp = s.ask("POST", "/.vilogate/logout", "Cookie: __Secure-sso="+s.sign(old), site, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
	wantStatus(t, resp, 303)
	if got := resp.Header.Get("Location"); got != "https://login.example.test/logout?done" {
		t.Errorf("signed out to %q", got)
	}
	wantStatus(t, s.ask("GET", "/things/1", cookie), 401)
}

func TestContradictingCookiesAreClearedThenExplained(t *testing.T) {
	s := newSite(t)
	cookies := "Cookie: __Secure-sso=" + s.sign(s.grant()) + "; __Secure-sso=planted"
	resp := s.ask("GET", "/things/1", cookies, "Accept: text/html")
	wantStatus(t, resp, 302)
	set := strings.Join(resp.Header["Set-Cookie"], "\n")
	if !strings.Contains(set, "__Secure-sso=; Domain=example.test") || !strings.Contains(set, conflictCookie+"=1") {
		t.Errorf("cookies set: %s", set)
	}
	resp = s.ask("GET", "/things/1", cookies+"; "+conflictCookie+"=1", "Accept: text/html")
	wantStatus(t, resp, 400)
	wantStatus(t, s.ask("GET", "/public/1", cookies), 200)
	if got := s.reached(); got.Header.Get("X-User") != "" {
		t.Errorf("somebody: %v", got.Header)
	}
}

func TestPreflightAsksNobody(t *testing.T) {
	s := newSite(t)
	resp := s.ask("OPTIONS", "/things/1", "Origin: https://website.example.test", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
	wantStatus(t, resp, 204)
	if resp.Header.Get("Access-Control-Allow-Origin") != "https://website.example.test" || resp.Header.Get("Access-Control-Allow-Credentials") != "true" {
		t.Errorf("headers %v", resp.Header)
	}
	resp = s.ask("OPTIONS", "/things/1", "Origin: https://evil.test", "Access-Control-Request-Method: POST")
	wantStatus(t, resp, 403)
	if resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", resp.Header)
	}
	resp = s.ask("GET", "/things/1", "Origin: https://website.example.test")
	wantStatus(t, resp, 401)
	if resp.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("a refusal without CORS headers: the page cannot read why")
	}
}

func TestBackendsOwnCrossOriginHeadersAreReplaced(t *testing.T) {
	s := newSite(t)
	s.respond = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Set-Cookie", "__Secure-sso=planted; Domain=example.test")
		w.Header().Add("Set-Cookie", "a=1")
	}
	resp := s.ask("GET", "/public/1", "Origin: https://evil.test")
	if got := resp.Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("the backend's own: %q", got)
	}
	if got := resp.Header["Set-Cookie"]; len(got) != 1 || got[0] != "a=1" {
		t.Errorf("cookies %q", got)
	}
}

func TestLoginHostSeesTheClientAndNoForgedIdentity(t *testing.T) {
	s := newSite(t)
	resp := s.askHost("login.example.test", "GET", "/login?redirect_uri=x", "", "X-User: admin", "X_User: admin")
	wantStatus(t, resp, 200)
	if got := resp.Header.Get("X-Seen"); got != "login.example.test /login 192.0.2.7:0 " {
		t.Errorf("the login host saw %q", got)
	}
	wantStatus(t, s.askHost("login.example.test", "GET", "//login", ""), 400)
}

func TestNothingSecretIsLogged(t *testing.T) {
	s := newSite(t)
	raw := s.sign(s.grant())
	s.ask("GET", "/things/1?secret=query", "Cookie: __Secure-sso="+raw)
	s.ask("GET", "/things/1?secret=query", "Authorization: Bearer "+raw[:len(raw)-3]+"abc")
	log := s.log.String()
	for _, secret := range []string{raw[:40], "secret=query", "query"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q: %s", secret, log)
		}
	}
	if !strings.Contains(log, `"subject":"u-1"`) || strings.Count(log, `"msg":"request"`) != 2 {
		t.Errorf("log: %s", log)
	}
}

func TestUpstreamFailures(t *testing.T) {
	s := newSite(t)
	s.backend.Close()
	wantStatus(t, s.ask("GET", "/public/x"), 502)
}

func TestEarlyHintsKeepTheHeadersOfTheAnswer(t *testing.T) {
	s := newSite(t)
	s.respond = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		w.WriteHeader(http.StatusOK)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		s.gateway.ServeHTTP(w, r)
	}))
	defer front.Close()
	r, err := http.NewRequest("GET", front.URL+"/public/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "app.example.test"
	resp, err := front.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := resp.Header["Strict-Transport-Security"]; len(got) != 1 || got[0] != "max-age=31536000" {
		t.Errorf("Strict-Transport-Security: %q", got)
	}
	if len(resp.Header["X-Request-Id"]) != 1 {
		t.Errorf("X-Request-Id: %q", resp.Header["X-Request-Id"])
	}
}

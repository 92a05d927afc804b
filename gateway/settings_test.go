package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// legacy signs a token as the guide's IdP does.
func (s *site) legacy(user string) string { return s.legacyUntil(user, s.now.Add(time.Hour)) }

// legacyUntil signs one that expires, or expired, at that time.
func (s *site) legacyUntil(user string, expires time.Time) string {
	s.t.Helper()
	raw, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"username": user, "email": user + "@example.test", "iat": expires.Add(-time.Hour).Unix(), "exp": expires.Unix(),
	}).SignedString([]byte(legacySecret))
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

func forwardLegacy(st *Settings) { st.Upstreams[0].ForwardToken = "legacy" }

func TestForwardTokenPassesTheTokenWhereItCame(t *testing.T) {
	s := newSite(t, forwardLegacy)
	raw := s.legacy("dora")
	wantStatus(t, s.ask("GET", "/x", "Cookie: a=1; jwt="+raw+"; b=2"), 200)
	if got := s.reached(); got.Header.Get("Cookie") != "a=1; jwt="+raw+"; b=2" || got.Header.Get("X-User") != "dora" || got.Header.Get("X-User-Id") != "legacy:dora" {
		t.Errorf("received %v", got.Header)
	}
	wantStatus(t, s.ask("GET", "/x", "Authorization: Bearer "+raw), 200)
	if got := s.reached(); got.Header.Get("Authorization") != "Bearer "+raw {
		t.Errorf("received %v", got.Header)
	}
	// Ours is nobody's business, and the other one proved nothing.
	wantStatus(t, s.ask("GET", "/x", "Cookie: __Secure-sso="+s.sign(s.grant())+"; jwt="+raw), 200)
	if got := s.reached(); got.Header.Get("Cookie") != "" || got.Header.Get("X-User") != "alice" {
		t.Errorf("received %v", got.Header)
	}
}

func TestNoTokenIsPassedOnWhileRevocationsAreStale(t *testing.T) {
	s := newSite(t, forwardLegacy)
	s.revoked.stale = true
	wantStatus(t, s.ask("GET", "/public/x", "Authorization: Bearer "+s.legacy("dora")), 200)
	if got := s.reached(); got.Header.Get("Authorization") != "" || got.Header.Get("X-User") != "" {
		t.Errorf("received %v", got.Header)
	}
	wantStatus(t, s.ask("GET", "/public/x", "Authorization: Basic abc"), 200)
	if got := s.reached(); got.Header.Get("Authorization") != "Basic abc" {
		t.Errorf("received %v", got.Header)
	}
}

func TestOnStaleAllowServesWhoeverIsSignedIn(t *testing.T) {
	s := newSite(t, func(st *Settings) {
		st.Policies = compile(t, "host: app.example.test\nupstream: app\nroutes:\n  - { path: /on, allow: authenticated, on_stale: allow }\n  - { path: /off, allow: authenticated }\n  - { path: /get, methods: [GET], allow: public }\n")
	})
	s.revoked.stale = true
	cookie := "Cookie: __Secure-sso=" + s.sign(s.grant())
	wantStatus(t, s.ask("GET", "/on", cookie), 200)
	if got := s.reached(); got.Header.Get("X-User") != "alice" {
		t.Errorf("received %v", got.Header)
	}
	wantStatus(t, s.ask("GET", "/on"), 401)
	wantStatus(t, s.ask("GET", "/off", cookie), 503)
	wantStatus(t, s.ask("PUT", "/get"), 405)
}

func TestBearerOnlySendsNobodyToTheLoginPage(t *testing.T) {
	s := newSite(t, func(st *Settings) {
		st.Policies = compile(t, "host: app.example.test\nupstream: app\nroutes:\n  - { path: /x, allow: authenticated, bearer: only }\n")
	})
	raw := s.sign(s.grant())
	resp := s.ask("GET", "/x", "Accept: text/html")
	wantStatus(t, resp, 401)
	if resp.Header.Get("WWW-Authenticate") == "" {
		t.Error("no challenge")
	}
	wantStatus(t, s.ask("GET", "/x", "Cookie: __Secure-sso="+raw), 403)
	wantStatus(t, s.ask("GET", "/x", "Authorization: Bearer "+raw), 200)
}

func TestTrustedProxiesSayOnWhoseBehalfTheyAsk(t *testing.T) {
	for _, test := range []struct {
		name    string
		trusted string
		lines   []string
		client  string
		id      string // "": one of our own
	}{
		{"a stranger", "10.0.0.0/8", []string{"X-Forwarded-For: 6.6.6.6", "X-Request-Id: mine"}, "192.0.2.7", ""},
		{"a proxy", "192.0.2.0/24", []string{"X-Forwarded-For: 198.51.100.1", "X-Request-Id: Its_id-1.2"}, "198.51.100.1", "Its_id-1.2"},
		{"a proxy behind a stranger's claim", "192.0.2.0/24", []string{"X-Forwarded-For: 6.6.6.6, 198.51.100.1"}, "198.51.100.1", ""},
		{"two proxies, two lines", "192.0.2.0/24", []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 192.0.2.9"}, "198.51.100.1", ""},
		{"nonsense", "192.0.2.0/24", []string{"X-Forwarded-For: x, 198.51.100.1, nonsense", "X-Request-Id: no spaces"}, "unknown", ""},
		{"nobody whom the proxy knows", "192.0.2.0/24", []string{"X-Forwarded-For: unknown"}, "unknown", ""},
		{"IPv6", "192.0.2.0/24", []string{"X-Forwarded-For: 2001:db8::1"}, "2001:db8::1", ""},
		{"IPv6 in brackets", "192.0.2.0/24", []string{"X-Forwarded-For: [2001:db8::1]"}, "2001:db8::1", ""},
		{"with a port", "192.0.2.0/24", []string{"X-Forwarded-For: 198.51.100.1:4711"}, "198.51.100.1", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, func(st *Settings) { st.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(test.trusted)} })
			resp := s.ask("GET", "/public/x", test.lines...)
			wantStatus(t, resp, 200)
			got := s.reached().Header
			if got.Get("X-Forwarded-For") != test.client {
				t.Errorf("the client is %q, want %q", got.Get("X-Forwarded-For"), test.client)
			}
			if ip := got.Get("X-Real-Ip"); ip != test.client && (ip != "" || test.client != "unknown") {
				t.Errorf("X-Real-Ip: %q, want %q, or none where nobody knows", ip, test.client)
			}
			id := got.Get("X-Request-Id")
			if test.id != "" && id != test.id || test.id == "" && len(id) != 26 || resp.Header.Get("X-Request-Id") != id {
				t.Errorf("request id %q", id)
			}
		})
	}
}

func TestOddHeadersAreDroppedRefusedOrPassed(t *testing.T) {
	for odd, want := range map[OddHeaders]int{DropOdd: 200, RejectOdd: 400, PassOdd: 200} {
		s := newSite(t, func(st *Settings) { st.Upstreams[0].OddHeaders = odd })
		wantStatus(t, s.ask("GET", "/public/x", "Odd_Name: 1", "X_User: admin"), want)
		got := s.reached()
		if got == nil {
			continue
		}
		if passed := len(got.Header["Odd_name"]) > 0; passed != (odd == PassOdd) {
			t.Errorf("%d: received %v", odd, got.Header)
		}
		if len(got.Header["X_user"]) > 0 {
			t.Errorf("%d: a reserved name in an odd spelling: %v", odd, got.Header)
		}
	}
}

func TestPresetsReplaceThePlainHeaders(t *testing.T) {
	for preset, want := range map[string]map[string]string{
		"remote-user":      {"Remote-User": "alice", "Remote-Email": "alice@example.test", "Remote-Name": "Alice %C3%9Cnl%C3%BC", "Remote-Groups": "member"},
		"x-forwarded-user": {"X-Forwarded-User": "alice", "X-Forwarded-Email": "alice@example.test", "X-Forwarded-Preferred-Username": "alice", "X-Forwarded-Groups": "member"},
	} {
		s := newSite(t, func(st *Settings) { st.Upstreams[0].Preset = preset })
		wantStatus(t, s.ask("GET", "/x", "Cookie: __Secure-sso="+s.sign(s.grant()), "Remote-User: admin", "X-Forwarded-Groups: admin"), 200)
		got := s.reached().Header
		for name, value := range want {
			if got.Get(name) != value {
				t.Errorf("%s: %s is %q, want %q", preset, name, got.Get(name), value)
			}
		}
		if got.Get("X-User") != "" || got.Get("X-User-Roles") != "" || got.Get("X-User-Id") != "u-1" || got.Get("X-User-Assertion") == "" {
			t.Errorf("%s: received %v", preset, got)
		}
	}
}

func TestUpstreamsAreAskedInTurnAndADeadOneIsPassedOver(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{} // guarded by mu
	var addresses []*url.URL
	for _, name := range []string{"one", "two", "dead"} {
		backend := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			asked[name]++
		}))
		address, err := url.Parse(backend.URL)
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, address)
		if name == "dead" {
			backend.Close()
		}
		t.Cleanup(backend.Close)
	}
	s := newSite(t, func(st *Settings) { st.Upstreams[0].URLs = addresses })
	for range 30 {
		wantStatus(t, s.ask("GET", "/public/x"), 200)
		wantStatus(t, s.askHost("app.example.test", "POST", "/public/x", "a body"), 200)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked["one"] < 10 || asked["two"] < 10 || asked["one"]+asked["two"] != 60 {
		t.Errorf("asked %v", asked)
	}
}

func TestRefusalsBeforeTheHostIsFoundCarryCrossOriginHeaders(t *testing.T) {
	s := newSite(t)
	const origin = "Origin: https://website.example.test"
	for _, resp := range []*http.Response{
		s.ask("GET", "/a/../b", origin), s.ask("TRACE", "/", origin), s.ask("GET", "/", origin, "Authorization: Basic a", "Authorization: Basic b"),
		s.ask("GET", "/.vilogate/nothing", origin), s.ask("GET", "/.vilogate/me", origin), s.ask("GET", "/.vilogate//me", origin),
	} {
		if resp.StatusCode < 400 || resp.Header.Get("Access-Control-Allow-Origin") != "https://website.example.test" || !strings.Contains(strings.Join(resp.Header["Vary"], ","), "Origin") {
			t.Errorf("status %d with %v", resp.StatusCode, resp.Header)
		}
	}
}

func TestOneCookieSentAHundredTimesIsJudgedOnce(t *testing.T) {
	s := newSite(t)
	raw := s.sign(s.grant())
	var lines []string
	for i := range 100 {
		lines = append(lines, "Cookie: __Secure-sso="+raw, "Cookie: __Secure-sso="+strings.Repeat("x", i+1))
	}
	wantStatus(t, s.ask("POST", "/.vilogate/logout", append(lines, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors")...), 204)
	if len(s.revoked.entries) != 1 {
		t.Errorf("%d entries", len(s.revoked.entries))
	}
}

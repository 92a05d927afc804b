package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies"
)

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

func TestForgedIdentityHeadersNeverReachTheBackend(t *testing.T) {
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
		{"stranger in a tab", "GET", "/things/1", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 302},
		{"stranger in a frame", "GET", "/things/1", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", html}, 401},
		{"stranger behind Chromium's service worker", "GET", "/things/1", []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: empty", html}, 302},
		{"stranger behind Firefox's service worker", "GET", "/things/1", []string{"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", "Upgrade-Insecure-Requests: 1", html}, 302},
		{"stranger's fetch", "GET", "/things/1", []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", html}, 401},
		{"stranger's script", "GET", "/things/1", []string{html, "X-Requested-With: XMLHttpRequest"}, 401},
		{"stranger who would take HTML too", "GET", "/things/1", []string{"Accept: text/html;q=0.1, application/json"}, 401},
		{"stranger in capitals", "GET", "/things/1", []string{"Accept: TEXT/HTML"}, 302},
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
			if got := s.reached(); (got != nil) != (test.status == 200 && !strings.HasPrefix(test.target, policies.OwnPrefix) && test.target != policies.PathKeys) {
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
	wantStatus(t, s.askHost("app.example.test.", "GET", "/public/x", ""), 200)
}

func TestPublicRouteForwardsACrossSiteRequestAsAnonymous(t *testing.T) {
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
	attackers := s.grant()
	attackers.Subject, attackers.User, attackers.Session, attackers.ID = "u-9", "mallory", "s-9", "t-9"
	cookies := "Cookie: __Secure-sso=" + s.sign(s.grant()) + "; __Secure-sso=" + s.sign(attackers)
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

// TestCookieTossing: of several values of one cookie only those count that a key of ours signed, expired and revoked ones
// too: of one session the latest, of two sessions none.
func TestCookieTossing(t *testing.T) {
	s := newSite(t)
	grant := func(user, session string, issued, life time.Duration) string {
		g := s.grant()
		g.Subject, g.User, g.Session, g.ID = "u-"+user, user, session, fmt.Sprint("t-", user, session, issued)
		g.AuthTime = s.now.Add(-time.Hour)
		g.IssuedAt, g.Expires = s.now.Add(issued), s.now.Add(issued+life)
		return s.sign(g)
	}
	good, mallory := grant("alice", "s-1", -time.Minute, time.Hour), grant("mallory", "s-9", -time.Second, time.Hour)
	expired, older := grant("alice", "s-1", -30*time.Minute, time.Minute), grant("alice", "s-1", -2*time.Minute, time.Hour)
	forged := good[:len(good)-8] + "AAAAAAAA"
	elsewhere := newSite(t) // another deployment on a parent domain, with keys of its own
	foreign := elsewhere.sign(elsewhere.grant())
	for _, c := range []struct {
		name   string
		values []string
		user   string
		reason string
	}{
		{"one", []string{good}, "alice", ""},
		{"junk beside it", []string{"junk", good}, "alice", ""},
		{"of another deployment", []string{foreign, good, "a.b.c"}, "alice", ""},
		{"with a signature that does not match", []string{good, forged}, "alice", ""},
		{"an expired one of the session", []string{expired, good}, "alice", ""},
		{"an older one of the session", []string{good, older}, "alice", ""},
		{"another session's beside it", []string{good, mallory}, "", "conflict"},
		{"another session's beside an expired one", []string{expired, mallory}, "", "conflict"},
		{"junk alone", []string{"junk", "more"}, "", "unknown-issuer"},
		{"of another deployment alone", []string{foreign}, "", "unknown-key"},
		{"an expired one alone", []string{expired}, "", "expired"},
		{"a forged one alone", []string{forged}, "", "signature"},
		{"too many that could be ours", append(manyForged(good, 17), good), "", "conflict"},
		{"many that are not ours", append(junk(200), good), "alice", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			var refused []RefusedCookie
			s.gateway.opts.Observe = func(r *Record) { refused = r.RefusedCookies }
			for _, separator := range []string{"; ", "\nCookie: "} {
				var lines []string
				for line := range strings.SplitSeq("Cookie: __Secure-sso="+strings.Join(c.values, separator+"__Secure-sso="), "\n") {
					lines = append(lines, line)
				}
				resp := s.ask("GET", "/things/1", lines...)
				got := s.reached()
				if c.user == "" {
					wantStatus(t, resp, 401)
					if len(refused) != 1 || refused[0].Reason != c.reason || refused[0].Issuer != token.OwnIssuer {
						t.Errorf("recorded %+v, want %s", refused, c.reason)
					}
					continue
				}
				if got == nil || got.Header.Get("X-User") != c.user || len(refused) > 0 {
					t.Errorf("status %d, reached %v, refused %v", resp.StatusCode, got, refused)
				}
			}
		})
	}
}

// manyForged are tokens of a known key whose signatures do not match.
func manyForged(good string, n int) (values []string) {
	for i := range n {
		values = append(values, good[:len(good)-16]+fmt.Sprintf("%04dAAAAAAAAAAAA", i))
	}
	return values
}

func junk(n int) (values []string) {
	for i := range n {
		values = append(values, fmt.Sprint("junk", i))
	}
	return values
}

// TestSignOutAmongPlantedCookies: "signed out" is said only where every value was judged, and a token without a session
// that expired long ago ends nothing.
func TestSignOutAmongPlantedCookies(t *testing.T) {
	s := newSite(t)
	site := "Sec-Fetch-Site: same-origin"
	alice := s.sign(s.grant())
	sso := func(values ...string) string {
		return "Cookie: __Secure-sso=" + strings.Join(values, "; __Secure-sso=")
	}
	mallorys := s.grant()
	mallorys.Subject, mallorys.Session, mallorys.ID = "u-9", "s-9", "t-9"
	wantStatus(t, s.ask("POST", "/.vilogate/logout", sso(append(junk(50), s.sign(mallorys), alice)...), site), 204)
	if got := s.revoked.sessions(); !slices.Equal(got, []string{"s-1", "s-9"}) {
		t.Errorf("revoked %q", got)
	}
	s.revoked.entries = nil
	resp := s.ask("POST", "/.vilogate/logout", sso(append(manyForged(alice, 17), alice)...), site)
	wantStatus(t, resp, 409)
	if got := s.revoked.sessions(); len(got) > 0 {
		t.Errorf("revoked %q, and said that nothing was", got)
	}
	wantStatus(t, s.ask("POST", "/.vilogate/logout", "Cookie: jwt="+s.legacyUntil("alice", s.now.Add(-8*365*24*time.Hour)), site), 401)
	if len(s.revoked.entries) > 0 {
		t.Errorf("a token that expired years ago revoked %+v", s.revoked.entries)
	}
	wantStatus(t, s.ask("POST", "/.vilogate/logout", "Cookie: jwt="+s.legacyUntil("alice", s.now.Add(time.Minute)), site), 204)
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

// TestEarlyHintsKeepTheHeadersOfTheAnswer, also of the one that says that no answer came behind them.
func TestEarlyHintsKeepTheHeadersOfTheAnswer(t *testing.T) {
	s := newSite(t)
	s.respond = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		if r.URL.Path == "/public/dies" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		w.WriteHeader(http.StatusOK)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		s.gateway.ServeHTTP(w, r)
	}))
	defer front.Close()
	for path, status := range map[string]int{"/public/x": 200, "/public/dies": 502} {
		r, err := http.NewRequest("GET", front.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "app.example.test"
		resp, err := front.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if got := resp.Header["Strict-Transport-Security"]; resp.StatusCode != status || len(got) != 1 || got[0] != "max-age=31536000" {
			t.Errorf("%s: %d, Strict-Transport-Security: %q", path, resp.StatusCode, got)
		}
		if len(resp.Header["X-Request-Id"]) != 1 {
			t.Errorf("%s: X-Request-Id: %q", path, resp.Header["X-Request-Id"])
		}
	}
}

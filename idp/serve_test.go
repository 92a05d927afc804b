package idp

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/idp/token"
)

func TestWhatIsNotThereIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, test := range []struct {
		method, path string
		header       []string
		status       int
		allow        string
	}{
		{"GET", "/nothing", nil, 404, ""},
		{"GET", "/login/", nil, 404, ""},
		{"GET", "/LOGIN", nil, 404, ""},
		{"GET", "//login", nil, 404, ""},
		{"PUT", "/login", nil, 405, "HEAD, GET, POST"},
		{"OPTIONS", "/login", nil, 405, "HEAD, GET, POST"},
		{"DELETE", "/.well-known/jwks.json", nil, 405, "HEAD, GET"},
		{"POST", "/.well-known/openid-configuration", nil, 405, "HEAD, GET"},
		{"GET", "/login", []string{"Host: website.viloforge.test"}, 421, ""},
		{"GET", "/login", []string{"Host: evil.example"}, 421, ""},
		{"GET", "/login", []string{"Host: login.viloforge.test.evil.example"}, 421, ""},
	} {
		for _, accept := range []string{"text/html", "TEXT/HTML, application/json;q=0.9", "application/json", "*/*", "text/html;q=0.1, application/json", "text/html;q=0"} {
			c := w.client()
			c.header.Set("Accept", accept)
			got := c.do(test.method, test.path, "", test.header...)
			if got.status != test.status || got.header.Get("Allow") != test.allow {
				t.Errorf("%s %s: %d, Allow %q", test.method, test.path, got.status, got.header.Get("Allow"))
			}
			id := got.header.Get("X-Request-Id")
			if strings.HasPrefix(strings.ToLower(accept), "text/html") && !strings.Contains(accept, "text/html;q") {
				if !strings.Contains(got.body, "<h1>") || !strings.Contains(got.body, id) || id == "" {
					t.Errorf("%s %s: no page\n%s", test.method, test.path, got.body)
				}
				continue
			}
			var p problem.Details
			if err := json.Unmarshal([]byte(got.body), &p); err != nil || p.Status != test.status || p.RequestID != id || p.Type == "" || p.Title == "" ||
				got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s %s: %v\n%s", test.method, test.path, err, got.body)
			}
		}
	}
}

func TestProgramsFindTheKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client()
	var found providerMetadata
	got := c.get("/.well-known/openid-configuration")
	if err := json.Unmarshal([]byte(got.body), &found); err != nil || found.Issuer != loginAt || found.JWKSURI != loginAt+"/.well-known/jwks.json" {
		t.Fatalf("%v\n%s", err, got.body)
	}
	got = c.get("/.well-known/jwks.json")
	keys, err := token.ParseSet([]byte(got.body))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v\n%s", err, got.body)
	}
	key, err := w.idp.Keys().Key(keys[0].ID(), w.clock.now())
	if err != nil || !key.Equal(keys[0]) {
		t.Errorf("%v, %v", key, err)
	}
	if _, err := w.idp.Keys().Key("another", w.clock.now()); err == nil {
		t.Error("a key that is not there was found")
	}
	if strings.Contains(got.body, `"d"`) {
		t.Error("the private half is published")
	}
}

func TestEveryPagePromisesBrowsersTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stranger, alice := w.client(), w.client().login("alice")
	back := url.QueryEscape("https://website.viloforge.test/x")
	for _, page := range []answer{
		stranger.get("/login?redirect_uri=" + back), stranger.get("/"), stranger.try("/login", "alice", "wrong"), stranger.get("/logout"), stranger.get("/nothing"),
		alice.get("/account"), alice.get("/logout"), alice.changePassword("wrong", next, next),
	} {
		policy := page.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: Content-Security-Policy %q lacks %q", page.at, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") {
			t.Errorf("%s: Content-Security-Policy %q", page.at, policy)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY",
			"Content-Type": "text/html; charset=utf-8",
		} {
			if got := page.header.Get(name); got != want {
				t.Errorf("%s: %s %q, want %q", page.at, name, got, want)
			}
		}
		if strings.Contains(page.body, "<script") || strings.Contains(page.body, "javascript") || strings.Contains(page.body, " on") && strings.Contains(page.body, "onclick") {
			t.Errorf("%s needs JavaScript", page.at)
		}
	}
	if policy := stranger.get("/login?redirect_uri=" + back).header.Get("Content-Security-Policy"); !strings.HasSuffix(policy, "form-action 'self' https://website.viloforge.test") {
		t.Errorf("Content-Security-Policy %q: browsers would not follow the form back", policy)
	}
}

func TestNothingThatAStrangerWritesStandsInAPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	payload := `"><script>alert(1)</script>`
	c := w.client()
	for _, path := range []string{
		"/login?redirect_uri=" + url.QueryEscape(payload), "/login?error=" + url.QueryEscape(payload), "/logout?done=" + url.QueryEscape(payload),
		"/account?changed=" + url.QueryEscape(payload), "/" + url.PathEscape(payload),
	} {
		got := c.get(path, "Referer: https://evil.example/"+payload, "X-Forwarded-Host: evil.example", "User-Agent: "+payload, "X-Request-Id: "+payload, "Origin: https://evil.example")
		if strings.Contains(got.body, "alert(1)") || strings.Contains(got.body, "evil.example") || strings.Contains(got.location(), "evil.example") {
			t.Errorf("%s:\n%s", path, got.body)
		}
	}
	got := c.try("/login", payload, "wrong")
	if strings.Contains(got.body, "<script>") || !strings.Contains(got.body, "&lt;script&gt;") {
		t.Errorf("the user name:\n%s", got.body)
	}
	if got := c.try("/login", strings.Repeat("x", 1000), "wrong"); strings.Contains(got.body, "xxxxx") {
		t.Error("a long user name is sent back")
	}
}

func TestTheClientsAddressIsBelievedOfTrustedProxiesAlone(t *testing.T) {
	t.Parallel()
	behind := newWorld(t, func(o *Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	})
	inProcess := newWorld(t)
	for _, test := range []struct {
		world                 *world
		remote, forwarded, id string
		client                string
		keepsID               bool
	}{
		{behind, "10.1.2.3:99", "192.0.2.7", "abc", "192.0.2.7", true},
		{behind, "10.1.2.3:99", "203.0.113.9, 192.0.2.7", "abc", "192.0.2.7", true},
		{behind, "10.1.2.3:99", "192.0.2.7, 10.9.9.9,10.1.1.1", "abc", "192.0.2.7", true},
		{behind, "10.1.2.3:99", "192.0.2.7, nonsense", "abc", "invalid IP", true},
		{behind, "10.1.2.3:99", "unknown", "abc", "invalid IP", true},
		{behind, "10.1.2.3:99", "[2001:db8::7]:443", "abc", "2001:db8::7", true},
		{behind, "10.1.2.3:99", "10.2.2.2", "abc", "10.2.2.2", true},
		{behind, "10.1.2.3:99", "", "a b", "10.1.2.3", false},
		{behind, "[fd00::1]:99", "2001:db8::7", "abc", "2001:db8::7", true},
		{behind, "[::ffff:10.1.2.3]:99", "192.0.2.7", "abc", "192.0.2.7", true},
		{behind, "192.0.2.8:99", "192.0.2.7", "abc", "192.0.2.8", false},
		{inProcess, "192.0.2.8:99", "192.0.2.7", "abc", "192.0.2.8", true},
		{inProcess, "192.0.2.8:99", "", strings.Repeat("a", 129), "192.0.2.8", false},
		{inProcess, "nonsense", "192.0.2.7", "abc", "invalid IP", true},
	} {
		r := httptest.NewRequest(http.MethodGet, loginAt+"/", nil)
		r.RemoteAddr = test.remote
		if test.forwarded != "" {
			r.Header.Set("X-Forwarded-For", test.forwarded)
		}
		r.Header.Set("X-Request-Id", test.id)
		x := test.world.idp.newExchange(httptest.NewRecorder(), r)
		if x.client.String() != test.client || (x.requestID == test.id) != test.keepsID || x.requestID == "" {
			t.Errorf("%+v: client %s, request id %s", test, x.client, x.requestID)
		}
	}
}

func TestTheClientsAddressIsBelievedWhereTheConfigurationSays(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	named := newWorld(t, func(o *Options) { o.TrustedProxies, o.ClientIPHeaders = trusted, []string{"Cf-Connecting-Ip"} })
	forwarded := newWorld(t, func(o *Options) { o.TrustedProxies, o.UseForwarded = trusted, true })
	header := http.Header{"X-Forwarded-For": {"192.0.2.1"}, "Cf-Connecting-Ip": {"192.0.2.2"}, "Forwarded": {`for="192.0.2.3:99"`}}
	for _, test := range []struct {
		world          *world
		remote, client string
	}{
		{named, "10.1.2.3:99", "192.0.2.2"},
		{named, "192.0.2.8:99", "192.0.2.8"},
		{forwarded, "10.1.2.3:99", "192.0.2.3"},
		{forwarded, "192.0.2.8:99", "192.0.2.8"},
	} {
		r := httptest.NewRequest(http.MethodGet, loginAt+"/", nil)
		r.RemoteAddr, r.Header = test.remote, header
		if x := test.world.idp.newExchange(httptest.NewRecorder(), r); x.client.String() != test.client {
			t.Errorf("from %s: client %s, want %s", test.remote, x.client, test.client)
		}
	}
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*Options){
		"no database":        func(o *Options) { o.DB = nil },
		"no list":            func(o *Options) { o.Revocations = nil },
		"no domain":          func(o *Options) { o.Domain = "" },
		"a host in capitals": func(o *Options) { o.LoginHost = "Login.x.test" },
		"no port":            func(o *Options) { o.PublicPort = 0 },
		"no cookie":          func(o *Options) { o.CookieName = "" },
		"no audience":        func(o *Options) { o.Audience = "" },
		"no life":            func(o *Options) { o.AccessTTL = 0 },
		"too long a life":    func(o *Options) { o.SessionMax = token.LongestSession + 1 },
		"no limit":           func(o *Options) { o.LoginLimits.PerAccount.Events = 0 },
		"nowhere to return":  func(o *Options) { o.RedirectPolicy = nil },
	} {
		o := options(w.db, w.list, w.clock, w.log)
		change(&o)
		if _, err := New(t.Context(), o); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestAnIdentityProviderOnItsOwnWritesARecordARequest(t *testing.T) {
	t.Parallel()
	alone := newWorld(t, func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	inProcess := newWorld(t)
	for _, w := range []*world{alone, inProcess} {
		w.client().get("/nothing?token=hunter2", "X-Forwarded-For: 192.0.2.7", "X-Request-Id: abc")
	}
	record := `msg=request request_id=abc client=192.0.2.7 method=GET host=login.viloforge.test path=/nothing status=404 duration_ms=`
	if log := alone.log.String(); !strings.Contains(log, record) || strings.Contains(log, "hunter2") {
		t.Errorf("the log is:\n%s", log)
	}
	if log := inProcess.log.String(); log != "" {
		t.Errorf("the gateway writes the record, and this one wrote too:\n%s", log)
	}
}

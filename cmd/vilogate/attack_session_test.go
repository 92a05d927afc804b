package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// attempt fills in the login form with a name and a password.
func (c *client) attempt(user, password string) answer {
	c.tb.Helper()
	at := c.site.url("login", "/login")
	f := formIn(c.tb, at, c.open(at).body, "password")
	f.fields.Set("username", user)
	f.fields.Set("password", password)
	return c.submit(f)
}

// TestOneCounterForAllSpellings: however an account's name is spelt, wrong passwords add up; others are not affected.
func TestOneCounterForAllSpellings(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "login_limits: { per_account: 4/h, per_address: 60/h }")
	s.addUser("bob", "member")
	c := s.client()
	spellings := []string{"alice", "ALICE", " alice ", "Alice", "aLiCe", "alice\t", "\u00a0alice", "ａｌｉｃｅ", "ALICE "}
	limited := answer{}
	for i, spelling := range spellings {
		got := c.attempt(spelling, "wrong")
		if got.status == http.StatusTooManyRequests {
			if i < 4 {
				t.Errorf("%q: limited after %d failures", spelling, i)
			}
			limited = got
			break
		}
		if got.status != http.StatusUnauthorized {
			t.Fatalf("%q: got %v, want 401", spelling, got)
		}
	}
	if limited.status == 0 {
		t.Fatalf("%d wrong passwords for one account, in %d spellings, and no limit", len(spellings), len(spellings))
	}
	if limited.header.Get("Retry-After") == "" {
		t.Errorf("429 without Retry-After: %v", limited)
	}
	if !strings.Contains(limited.body, "<form") {
		t.Errorf("429 without the form again: %v", limited)
	}
	if got := c.attempt("Alice", "wrong"); got.status != http.StatusTooManyRequests {
		t.Errorf("another spelling after the limit: %v", got)
	}
	if got := c.fresh().attempt("bob", passwordOf("bob")); got.status != http.StatusSeeOther {
		t.Errorf("somebody else from the same address: %v", got)
	}
}

// TestAddressLimit: many accounts from one address are a stranger trying; success is not counted.
func TestAddressLimit(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "login_limits: { per_account: 100/h, per_address: 6/h }")
	c := s.client()
	for range 8 {
		if got := c.fresh().attempt("alice", passwordOf("alice")); got.status != http.StatusSeeOther {
			t.Fatalf("a good login: %v", got)
		}
	}
	for i := range 20 {
		got := c.attempt(fmt.Sprintf("somebody%d", i), "wrong")
		if got.status == http.StatusTooManyRequests {
			if i < 6 {
				t.Errorf("limited after %d failures", i)
			}
			return
		}
		if got.status != http.StatusUnauthorized {
			t.Fatalf("got %v, want 401", got)
		}
	}
	t.Error("20 failures from one address, and no limit")
}

// TestUserEnumeration: a wrong password and an unknown name are answered in the same words.
func TestUserEnumeration(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	s.addUser("gone", "member")
	s.must("", "user", "disable", "gone", "--state", s.state)
	varying := regexp.MustCompile(`value="[^"]*"|[A-Za-z0-9_-]{20,}`)
	words := map[string]string{}
	for _, user := range []string{"alice", "nobody", "gone"} {
		got := s.client().attempt(user, "wrong")
		if got.status != http.StatusUnauthorized || !strings.Contains(got.body, "<form") {
			t.Errorf("%s: got %v, want 401 with the form", user, got)
		}
		words[user] = varying.ReplaceAllString(strings.ReplaceAll(got.body, user, "USER"), "")
	}
	if words["alice"] != words["nobody"] || words["alice"] != words["gone"] {
		t.Errorf("the answers differ:\n%q", words)
	}
	if got := s.client().attempt("gone", passwordOf("gone")); got.status != http.StatusUnauthorized {
		t.Errorf("a disabled user with the right password: %v", got)
	}
}

// TestCSRFTokenOfForms: the IdP's forms take only what they themselves gave out, to the same browser.
func TestCSRFTokenOfForms(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	at := s.url("login", "/login")
	fill := func(f form) form {
		f.fields.Set("username", "alice")
		f.fields.Set("password", passwordOf("alice"))
		return f
	}
	refused := func(t *testing.T, c *client, got answer) {
		t.Helper()
		if got.status < 400 || got.status == http.StatusNotFound || c.sso() != "" {
			t.Errorf("got %v, want a refusal", got)
		}
	}
	t.Run("without-hidden-fields", func(t *testing.T) {
		t.Parallel()
		c := s.client()
		f := formIn(t, at, c.open(at).body, "password")
		f.fields = url.Values{}
		refused(t, c, c.submit(fill(f)))
	})
	t.Run("without-cookies", func(t *testing.T) {
		t.Parallel()
		c := s.client()
		f := fill(formIn(t, at, c.open(at).body, "password"))
		c = c.fresh()
		refused(t, c, c.submit(f))
	})
	t.Run("another-browsers-form", func(t *testing.T) {
		t.Parallel()
		for site, origin := range map[string]string{"cross-site": "https://evil.example", "same-site": s.url("app", "")} {
			attacker, victim := s.client(), s.client()
			f := fill(formIn(t, at, attacker.open(at).body, "password"))
			victim.open(at)
			refused(t, victim, victim.do(http.MethodPost, f.action, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded",
				"Origin: "+origin, "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: "+site, "Accept: text/html"))
		}
	})
	t.Run("changed", func(t *testing.T) {
		t.Parallel()
		c := s.client()
		f := fill(formIn(t, at, c.open(at).body, "password"))
		for name, values := range f.fields {
			if name != "username" && name != "password" && name != "redirect_uri" {
				f.fields.Set(name, values[0]+"x")
			}
		}
		refused(t, c, c.submit(f))
	})
	t.Run("account-from-elsewhere", func(t *testing.T) {
		t.Parallel()
		c := s.client().login("alice")
		account := s.url("login", "/account")
		page := c.open(account)
		f := formIn(t, account, page.body, "")
		f.fields = url.Values{}
		if got := c.submit(f, "Origin: https://evil.example", "Sec-Fetch-Site: cross-site"); got.status < 400 {
			t.Errorf("a form of the account page without its token: %v", got)
		}
		if got := c.open(account); got.status != http.StatusOK {
			t.Errorf("the account page afterwards: %v", got)
		}
	})
}

// TestCrossSiteRequests: a cookie that comes along by itself does nothing that the page did not ask for.
func TestCrossSiteRequests(t *testing.T) {
	t.Parallel()
	s, backend := signing(t, "access_token_ttl: 1h")
	alice := s.client().login("alice").sso()
	own := "https://app.viloforge.test"
	for name, c := range map[string]struct {
		header []string
		good   bool
	}{
		"nothing":                {nil, false},
		"own-origin":             {[]string{"Origin: " + own}, true},
		"same-origin":            {[]string{"Sec-Fetch-Site: same-origin"}, true},
		"same-site":              {[]string{"Sec-Fetch-Site: same-site"}, false},
		"sibling":                {[]string{"Origin: https://other.viloforge.test", "Sec-Fetch-Site: same-site"}, false},
		"foreign":                {[]string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"}, false},
		"null":                   {[]string{"Origin: null"}, false},
		"null-none":              {[]string{"Origin: null", "Sec-Fetch-Site: cross-site"}, false},
		"none-by-a-person":       {[]string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"}, true},
		"none-by-a-script":       {[]string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: cors"}, false},
		"http":                   {[]string{"Origin: http://app.viloforge.test"}, false},
		"look-alike":             {[]string{"Origin: https://app.viloforge.test.evil.example"}, false},
		"two-origins":            {[]string{"Origin: " + own, "Origin: https://evil.example"}, false},
		"two-origins-in-one":     {[]string{"Origin: " + own + ", https://evil.example"}, false},
		"referer-only":           {[]string{"Referer: " + own + "/x"}, false},
		"X-Requested-With":       {[]string{"X-Requested-With: XMLHttpRequest"}, false},
		"cross-site-and-fetched": {[]string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"}, false},
	} {
		for _, p := range protocols() {
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "PROPFIND"} {
				t.Run(p.name+"/"+name+"/"+method, func(t *testing.T) {
					t.Parallel()
					probe := backend.probe(t)
					header := append([]string{probe.header(), cookieLine(alice)}, c.header...)
					got := p.send(s, t, request{method: method, host: appHost, target: "/x", header: header})
					if c.good {
						if got.status != http.StatusOK {
							t.Errorf("got %v", got)
						}
						return
					}
					if got.status != http.StatusForbidden || !strings.HasSuffix(got.problem(t).Type, "/csrf") {
						t.Errorf("got %v, want 403 of the type …/csrf", got)
					}
					probe.none()
					if got := p.send(s, t, request{method: method, host: appHost, target: "/public/x", header: header}); got.status != http.StatusOK {
						t.Fatalf("a public route: got %v", got)
					}
					assertAnonymous(t, probe.one())
				})
			}
		}
	}
	t.Run("bearer-needs-no-origin", func(t *testing.T) {
		t.Parallel()
		if got := s.http2(t, request{method: http.MethodPost, host: appHost, target: "/x", header: []string{bearer(alice)}}); got.status != http.StatusOK {
			t.Errorf("got %v", got)
		}
	})
	t.Run("logout", func(t *testing.T) {
		t.Parallel()
		crossSiteLogout(t, s, alice)
	})
}

// crossSiteLogout: nobody is signed out by a page of somebody else's.
func crossSiteLogout(t *testing.T, s *site, alice string) {
	t.Helper()
	for _, header := range []string{"Origin: https://evil.example", "Origin: https://other.viloforge.test", "Sec-Fetch-Site: cross-site", "Accept: text/html"} {
		got := s.http1(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(alice), header}})
		if got.status != http.StatusForbidden {
			t.Errorf("%s: got %v, want 403", header, got)
		}
	}
	if got := s.http1(t, request{host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(alice)}}); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET: got %v, want 405", got)
	}
	if got := s.http1(t, request{host: appHost, target: "/x", header: []string{cookieLine(alice)}}); got.status != http.StatusOK {
		t.Errorf("alice afterwards: %v", got)
	}
}

// TestInjectionIntoPages: nothing that a stranger writes into a request stands in our pages or redirects as markup or
// as an address.
func TestInjectionIntoPages(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	payload := `"><script>alert(1)</script>`
	c := s.client()
	for _, header := range []string{
		"Referer: https://evil.example/" + payload, "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: javascript", "X-Forwarded-Prefix: //evil.example",
		"Forwarded: host=evil.example;proto=http", "X-Original-URL: //evil.example", "User-Agent: " + payload, "Accept-Language: " + payload, "X-Request-Id: " + payload, "Origin: https://evil.example",
	} {
		for _, address := range []string{
			s.url("login", "/login"), s.url("login", "/logout"), s.url("login", "/account"), s.url("app", "/x"), s.url("app", "/public/../x"), s.url("nowhere", "/"), s.url("login", "/unknown"),
			s.url("login", "/login?redirect_uri="+url.QueryEscape(payload)), s.url("login", "/login?error="+url.QueryEscape(payload)), s.url("login", "/logout?done="+url.QueryEscape(payload)), s.url("app", "/x?"+url.QueryEscape(payload)),
		} {
			got := c.open(address, header)
			if strings.Contains(got.body, "<script>alert") || strings.Contains(got.body, "evil.example") {
				t.Errorf("%s with %q:\n%s", address, header, got.body)
			}
			if to, err := url.Parse(got.header.Get("Location")); err != nil || to.Host == "evil.example" || to.Scheme == "http" {
				t.Errorf("%s with %q: Location %q", address, header, got.header.Get("Location"))
			}
			for name, values := range got.header {
				if strings.Contains(strings.Join(values, " "), "<script>") {
					t.Errorf("%s with %q: %s %q", address, header, name, values)
				}
			}
		}
	}
}

// TestLoginPage: what the page itself promises to browsers.
func TestLoginPage(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "return_hosts: [app.viloforge.test]")
	c := s.client()
	got := c.open(s.url("login", "/login?redirect_uri="+url.QueryEscape("https://app.viloforge.test/x")))
	policy := got.header.Get("Content-Security-Policy")
	for _, want := range []string{"frame-ancestors 'none'", "https://app.viloforge.test"} {
		if !strings.Contains(policy, want) {
			t.Errorf("Content-Security-Policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe-inline") || strings.Contains(policy, "*") {
		t.Errorf("Content-Security-Policy %q", policy)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if !strings.Contains(got.header.Get(name), want) {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.header.Get("Referrer-Policy") == "" {
		t.Error("no Referrer-Policy")
	}
	for _, want := range []string{`autocomplete="username"`, `autocomplete="current-password"`, `<label`, `name="viewport"`, `lang="en"`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page lacks %s:\n%s", want, got.body)
		}
	}
	if f := formIn(t, s.url("login", "/login"), got.body, "password"); !f.has("username") || f.method != http.MethodPost {
		t.Errorf("form %+v", f)
	}
	evil := c.open(s.url("login", "/login?redirect_uri="+url.QueryEscape("https://evil.example/x")))
	if strings.Contains(evil.header.Get("Content-Security-Policy"), "evil") {
		t.Errorf("Content-Security-Policy %q", evil.header.Get("Content-Security-Policy"))
	}
}

// TestLoginFlood: many wrong passwords at once neither lock the others out of the gateway nor wait without bound.
func TestLoginFlood(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "login_limits: { per_account: 1000/m, per_address: 1000/m }")
	alice := s.client().login("alice").sso()
	var flood sync.WaitGroup
	for i := range 24 {
		c := s.client()
		at := s.url("login", "/login")
		f := formIn(t, at, c.open(at).body, "password")
		f.fields.Set("username", fmt.Sprintf("somebody%d", i))
		f.fields.Set("password", "wrong")
		flood.Go(func() {
			got, err := c.try(http.MethodPost, f.action, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded", "Origin: https://login.viloforge.test")
			if err != nil || got.status != http.StatusUnauthorized && got.status != http.StatusTooManyRequests && got.status != http.StatusServiceUnavailable {
				t.Errorf("during the flood: %v %v", got, err)
			}
		})
	}
	for range 20 {
		if got := s.http1(t, request{host: appHost, target: "/x", header: []string{cookieLine(alice)}}); got.status != http.StatusOK {
			t.Errorf("a signed-in request during the flood: %v", got)
		}
	}
	flood.Wait()
}

package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// signing is a site with our own IdP, whose logins return to app and www only.
func signing(t *testing.T, more string) (*site, *recorder) {
	t.Helper()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
login: { host: login.viloforge.test }
idp:
  database: sqlite
  %s
upstreams: { app: { url: %q } }
`, more, backend.url()),
		"policies/app.yaml":   attackedPolicy,
		"policies/other.yaml": "host: other.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n",
	})
	s.addUser("alice", "member")
	return s, backend
}

// TestOpenRedirects: a return address that is not one of ours, in any spelling that some browser reads as another host,
// ends at the default page; a good one survives byte for byte. The user has a session, so every look is one redirect.
func TestOpenRedirects(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "return_hosts: [app.viloforge.test, other.viloforge.test]")
	c := s.client().login("alice")
	good := []string{
		"https://app.viloforge.test/", "https://app.viloforge.test/x?a=1&b=%2F..%2f;c#frag", "https://app.viloforge.test/caf%C3%A9?q=%E2%82%AC+1",
		"https://other.viloforge.test/deep/link?redirect_uri=https%3A%2F%2Fevil.example", "https://app.viloforge.test/a?b=c%26d%3De",
		"https://app.viloforge.test/%7Euser/?", "https://app.viloforge.test/x?u=https://evil.example/@", "https://app.viloforge.test/a'b(c)*d!",
	}
	for number, address := range good {
		t.Run(fmt.Sprintf("good/%d", number), func(t *testing.T) {
			t.Parallel()
			got := c.open(s.url("login", "/login?redirect_uri="+url.QueryEscape(address)))
			if got.status != http.StatusSeeOther && got.status != http.StatusFound || got.header.Get("Location") != address {
				t.Errorf("%q: got %d to %q", address, got.status, got.header.Get("Location"))
			}
		})
	}
	bad := []string{
		"//evil.example", "///evil.example", "////evil.example/", `/\evil.example`, `\\evil.example`, `\/evil.example`, "/\t/evil.example", "/\n/evil.example", "\t//evil.example",
		"https:evil.example", "https:/evil.example", "https:///evil.example", `https:\\evil.example`, `https:\evil.example`, "http://evil.example", "https://evil.example",
		"HTTPS://EVIL.EXAMPLE", "javascript:alert(1)", "java\tscript:alert(1)", "JaVaScRiPt://app.viloforge.test/%0aalert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "ftp://app.viloforge.test/",
		"blob:https://app.viloforge.test/x", "ws://app.viloforge.test/", "about:blank", "view-source:https://app.viloforge.test/",
		"http://app.viloforge.test/", "https://app.viloforge.test:8443/", "https://app.viloforge.test:80/", "https://app.viloforge.test:0443x/", "https://app.viloforge.test:@evil.example/",
		"https://app.viloforge.test@evil.example/", "https://evil.example@app.viloforge.test/", "https://user:pass@app.viloforge.test/", "https://app.viloforge.test%40evil.example/", "https://@app.viloforge.test/",
		"https://app.viloforge.test.evil.example/", "https://evilapp.viloforge.test/", "https://app.viloforge.testevil.example", "https://app.viloforge.test.", "https://app-viloforge.test/",
		"https://xapp.viloforge.test", "https://viloforge.test.evil.example", "https://evilviloforge.test/", "https://evil.example/app.viloforge.test", "https://evil.example?app.viloforge.test", "https://evil.example#app.viloforge.test",
		`https://evil.example\app.viloforge.test`, `https://evil.example\@app.viloforge.test/`, "https://app.viloforge.test\\@evil.example/", "https://evil.example%5c@app.viloforge.test/", "https://evil.example%2f@app.viloforge.test/",
		"https://unregistered.viloforge.test/", "https://a.app.viloforge.test/", "https://viloforge.test/", "https://*.viloforge.test/",
		"https://app.viloforge.test%00.evil.example/", "https://app.viloforge.test\x00.evil.example/", "https://app.viloforge.test%0d%0aSet-Cookie:x=y/", "https://app.viloforge.test/\r\nSet-Cookie: x=y", "https://app.viloforge.test/\nx",
		"https://app。viloforge。test.evil.example/", "https://evil。example/", "https://app.viloforge.test／evil", "https://ａpp.viloforge.test/", "https://аpp.viloforge.test/", "https://app.viloforge.test\u200b/", "https://app.viloforge\u00ad.test/", "https://app.viloforge.tesſ/",
		"https://[::1]/", "https://127.0.0.1/", "https://0x7f.1/", "https://2130706433/", "https://[app.viloforge.test]/", "https://app.viloforge.test:443:443/", "https://app.viloforge.test :443/", "https://app.viloforge.test\t/", " https://app.viloforge.test/", "\u00a0https://app.viloforge.test/",
		"https://app.viloforge.test ", "https://app.viloforge.test/\\\\evil.example", "", ".", "..", "/", "/account/../../evil", "x", "?x", "#x", "@evil.example", "evil.example", "app.viloforge.test", "app.viloforge.test:443/x", "%2f%2fevil.example", "https%3A%2F%2Fevil.example", "https%3A%2F%2Fapp.viloforge.test%2F",
		"https://login.viloforge.test.evil.example/account", "https://app.viloforge.test,evil.example/", "https://app.viloforge.test;evil.example/", "https://evil.example,app.viloforge.test/", "https://app.viloforge.test&evil.example/", "https://evil.example;@app.viloforge.test",
		"http:https://evil.example", "https:https://app.viloforge.test", "://app.viloforge.test/", "https//app.viloforge.test/", "h\nttps://evil.example", "https://evil.example/https://app.viloforge.test/",
		"https://app.viloforge.test/" + strings.Repeat("x", 10000), "https://APP.viloforge.test@evil.example/",
	}
	home := s.url("login", "/account")
	for number, address := range bad {
		for form, query := range map[string]string{
			"alone": url.QueryEscape(address), "first": url.QueryEscape(address) + "&redirect_uri=" + url.QueryEscape(good[0]), "last": url.QueryEscape(good[0]) + "&redirect_uri=" + url.QueryEscape(address),
		} {
			t.Run(fmt.Sprintf("bad/%d/%s", number, form), func(t *testing.T) {
				t.Parallel()
				got := c.open(s.url("login", "/login?redirect_uri="+query))
				to := got.header.Get("Location")
				if got.status == http.StatusBadRequest || got.status == http.StatusRequestURITooLong {
					return
				}
				if len(address) > 8<<10 && got.status == http.StatusOK && to == "" && strings.Contains(got.body, "too long") {
					return // a page says so
				}
				if to = resolve(t, s.url("login", "/login"), to); to != home && (form == "alone" || to != good[0]) {
					t.Errorf("%q: got %d to %q, want %q", address, got.status, got.header.Get("Location"), home)
				}
			})
		}
	}
}

// TestRedirectAfterPassword: the return address is judged again where the password is given; what a form smuggles in
// there is no better than what stands in the address.
func TestRedirectAfterPassword(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "return_hosts: [app.viloforge.test]")
	home := s.url("login", "/account")
	for name, c := range map[string]struct{ address, smuggled, want string }{
		"good": {"https://app.viloforge.test/deep/link?a=%2F&b=%C3%A9#f", "", "https://app.viloforge.test/deep/link?a=%2F&b=%C3%A9#f"},
		"evil": {"https://evil.example/", "", home},
		"form": {"", "https://evil.example/", home},
		"both": {"https://app.viloforge.test/x", "//evil.example/", "https://app.viloforge.test/x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c0 := s.client()
			at := s.url("login", "/login?redirect_uri="+url.QueryEscape(c.address))
			page := c0.open(at)
			f := formIn(t, at, page.body, "password")
			f.fields.Set("username", "alice")
			f.fields.Set("password", passwordOf("alice"))
			if c.smuggled != "" {
				f.fields["redirect_uri"] = append(f.fields["redirect_uri"], c.smuggled)
			}
			got := c0.submit(f)
			if got.status == http.StatusBadRequest && c.smuggled != "" {
				return
			}
			if got.status != http.StatusSeeOther || resolve(t, at, got.header.Get("Location")) != c.want && resolve(t, at, got.header.Get("Location")) != home {
				t.Errorf("got %v, want %q", got, c.want)
			}
			if name == "good" && got.header.Get("Location") != c.want {
				t.Errorf("Location %q, want %q", got.header.Get("Location"), c.want)
			}
		})
	}
}

const sessionCookie = "__Host-session"

// TestSessionFixation: a session cookie from before the login is not the session after it, and is worth nothing.
func TestSessionFixation(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	at := s.url("login", "/login")
	t.Run("made-up", func(t *testing.T) {
		t.Parallel()
		c := s.client()
		planted := sessionCookie + "=" + strings.Repeat("A", 43)
		page := c.open(at, "Cookie: "+planted)
		f := formIn(t, at, page.body, "password")
		f.fields.Set("username", "alice")
		f.fields.Set("password", passwordOf("alice"))
		if got := c.submit(f); got.status != http.StatusSeeOther {
			t.Fatalf("login: %v", got)
		}
		if got := c.cookie("login", sessionCookie); got == "" || got == strings.Repeat("A", 43) {
			t.Errorf("the session after login is %q", got)
		}
		if got := s.client().open(s.url("login", "/account"), "Cookie: "+planted); got.status == http.StatusOK {
			t.Errorf("the planted session opens the account: %v", got)
		}
	})
	t.Run("of-an-earlier-login", func(t *testing.T) {
		t.Parallel()
		c := s.client()
		older := formIn(t, at, c.open(at).body, "password")
		before := c.login("alice").cookie("login", sessionCookie)
		older.fields.Set("username", "alice")
		older.fields.Set("password", passwordOf("alice"))
		if got := c.submit(older); got.status == http.StatusForbidden {
			return // the form was good for one login only
		} else if got.status != http.StatusSeeOther {
			t.Fatalf("the second login: %v", got)
		}
		if after := c.cookie("login", sessionCookie); after == "" || after == before {
			t.Errorf("the session was %q and is %q", before, after)
		}
		if got := s.client().open(s.url("login", "/account"), "Cookie: "+sessionCookie+"="+before); got.status == http.StatusOK {
			t.Error("the session from before the login still lives")
		}
	})
}

// TestCookieTossing: a sibling host can set a cookie of our name. Two of different sessions are nobody, both are cleared, and a
// browser that keeps sending them gets a page instead of a loop.
func TestCookieTossing(t *testing.T) {
	t.Parallel()
	s, backend := signing(t, "access_token_ttl: 1h")
	good := ssoCookie + "=" + s.client().login("alice").sso()
	other := ssoCookie + "=" + s.client().login("alice").sso()
	for name, lines := range map[string][]string{
		"one-line":         {"Cookie: " + good + "; " + other},
		"one-line-other":   {"Cookie: " + other + "; a=1; " + good},
		"two-lines":        {"Cookie: " + good, "Cookie: " + other},
		"two-lines-other":  {"Cookie: " + other, "Cookie: " + good},
		"two-good-ones":    {"Cookie: " + good + "; " + other},
		"good-twice-and-x": {"Cookie: " + good + "; " + good + "; " + other},
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				probe := backend.probe(t)
				got := p.send(s, t, request{host: appHost, target: "/x", header: append([]string{probe.header()}, lines...)})
				if got.status != http.StatusUnauthorized {
					t.Errorf("got %v, want 401", got)
				}
				clearsBoth(t, got)
				probe.none()
				got = p.send(s, t, request{host: appHost, target: "/x", header: append(append([]string{probe.header()}, navigation...), lines...)})
				if got.status != http.StatusFound {
					t.Errorf("a navigation: got %v, want 302", got)
				}
				clearsBoth(t, got)
				probe.none()
				got = p.send(s, t, request{host: appHost, target: "/public/x", header: append([]string{probe.header()}, lines...)})
				if got.status != http.StatusOK {
					t.Errorf("a public route: %v", got)
				}
				assertAnonymous(t, probe.one())
			})
		}
	}
	t.Run("no-loop", func(t *testing.T) {
		t.Parallel()
		c := s.client().login("alice")
		address := s.url("app", "/x")
		for range 12 {
			// A cookie that is set for a path or another domain comes back however often it is cleared.
			got := c.open(address, "Cookie: "+other)
			if got.status < 300 || got.status > 399 {
				if !strings.Contains(got.body, "cookie") {
					t.Errorf("the page does not explain itself: %v", got)
				}
				return
			}
			address = resolve(t, address, got.header.Get("Location"))
		}
		t.Error("redirected without end")
	})
}

// clearsBoth asserts that the SSO cookie is cleared as the domain's and as the host's own.
func clearsBoth(t *testing.T, got answer) {
	t.Helper()
	domain, host := false, false
	for _, line := range got.header.Values("Set-Cookie") {
		cookie, err := http.ParseSetCookie(line)
		if err != nil || cookie.Name != ssoCookie {
			continue
		}
		if cookie.MaxAge >= 0 || cookie.Value != "" || cookie.Path != "/" || !cookie.Secure {
			t.Errorf("Set-Cookie %q does not clear", line)
		}
		domain = domain || strings.TrimPrefix(cookie.Domain, ".") == "viloforge.test"
		host = host || cookie.Domain == ""
	}
	if !domain || !host {
		t.Errorf("Set-Cookie %q, want both cookies cleared", got.header.Values("Set-Cookie"))
	}
}

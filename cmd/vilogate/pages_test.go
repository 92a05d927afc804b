package main_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const (
	navigates  = "Sec-Fetch-Mode: navigate"
	inDocument = "Sec-Fetch-Dest: document"
	inFrame    = "Sec-Fetch-Dest: iframe"
)

// pagesSite is a gateway with its IdP, and two hosts.
func pagesSite(t *testing.T) *site {
	t.Helper()
	s := serve(t, map[string]string{
		"vilogate.yaml":       serveConfig + ownIdP + "upstreams: { app: { url: \"http://127.0.0.1:1\" } }\n",
		"policies/app.yaml":   attackedPolicy,
		"policies/other.yaml": publicOnlyOther,
	})
	s.addUser("alice", "member")
	s.addUser("boss", "admin")
	return s
}

const publicOnlyOther = "host: other.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n"

// eachProtocol asks in HTTP/1.1 and in HTTP/2.
func (s *site) eachProtocol(t *testing.T, r request, check func(protocol string, got answer)) {
	t.Helper()
	check("HTTP/1.1", s.http1(t, r))
	check("HTTP/2", s.http2(t, r))
}

// TestAFramedPageThatNeedsALoginLeadsOutOfTheFrame: the form refuses to be framed, and so a link opens it at the top; it
// comes back to the page around the frame. A fetch is answered as ever.
func TestAFramedPageThatNeedsALoginLeadsOutOfTheFrame(t *testing.T) {
	t.Parallel()
	s := pagesSite(t)
	around := s.url("other", "/board?a=1")
	for referer, back := range map[string]string{"": s.url("app", "/in/frame"), "Referer: " + around: around, "Referer: https://evil.example/x": s.url("app", "/in/frame")} {
		for _, kind := range []string{inFrame, "Sec-Fetch-Dest: frame"} {
			header := []string{navigates, kind}
			if referer != "" {
				header = append(header, referer)
			}
			s.eachProtocol(t, request{host: appHost, target: "/in/frame", header: header}, func(protocol string, got answer) {
				csp := got.header.Get("Content-Security-Policy")
				if got.status != http.StatusUnauthorized || !strings.Contains(got.header.Get("Content-Type"), "html") || !strings.Contains(got.body, `target="_top"`) ||
					!strings.HasSuffix(csp, "frame-ancestors https://viloforge.test https://*.viloforge.test") || got.header.Get("X-Frame-Options") != "" {
					t.Errorf("%s: %v", protocol, got)
				}
				if !strings.Contains(got.body, "redirect_uri="+url.QueryEscape(back)) {
					t.Errorf("%s, %q: the login does not lead to %s: %s", protocol, referer, back, got.body)
				}
			})
		}
	}
	s.eachProtocol(t, request{host: appHost, target: "/x", header: []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}}, func(protocol string, got answer) {
		if got.status != http.StatusUnauthorized || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: a fetch: %v", protocol, got)
		}
	})
}

// TestAPageThatIsNotOpenSaysWhoIsSignedInAndHowToGoOn: as whom, as somebody else, and back.
func TestAPageThatIsNotOpenSaysWhoIsSignedInAndHowToGoOn(t *testing.T) {
	t.Parallel()
	s := pagesSite(t)
	c := s.client().login("alice")
	header := []string{navigates, inDocument, cookieLine(c.sso()), "Referer: " + s.url("other", "/list")}
	s.eachProtocol(t, request{host: appHost, target: "/admin/x", header: header}, func(protocol string, got answer) {
		for _, want := range []string{
			"Signed in as <strong>alice</strong>", "Sign in with another account", `href="` + s.url("other", "/list") + `"`, "Back to other.viloforge.test",
			"redirect_uri=" + url.QueryEscape(s.url("app", "/admin/x")) + "&amp;prompt=select_account",
		} {
			if got.status != http.StatusForbidden || !strings.Contains(got.body, want) {
				t.Errorf("%s: no %q: %v", protocol, want, got)
			}
		}
	})
	// Another account signs in, though somebody is signed in, and comes back.
	login := s.url("login", "/login?redirect_uri="+url.QueryEscape(s.url("app", "/admin/x"))+"&prompt=select_account")
	form := c.open(login)
	if form.status != http.StatusOK || !strings.Contains(form.body, "Sign in with another account") {
		t.Fatalf("the form: %v", form)
	}
	if got := c.loginAt(login, "alice", "wrong"); got.status != http.StatusUnauthorized || !strings.Contains(got.body, "Wrong user name or password.") {
		t.Errorf("a wrong password: %v", got)
	}
	if got := c.loginAt(login, "boss", passwordOf("boss")); got.status != http.StatusSeeOther || got.header.Get("Location") != s.url("app", "/admin/x") {
		t.Errorf("another account: %v", got)
	}
}

// TestALongDeepLinkIsNotLostWithoutAWord: the login page says where people will land.
func TestALongDeepLinkIsNotLostWithoutAWord(t *testing.T) {
	t.Parallel()
	s := pagesSite(t)
	target := "/x?" + strings.Repeat("a%20", 3<<10)
	s.eachProtocol(t, request{host: appHost, target: target, header: []string{navigates, inDocument}}, func(protocol string, got answer) {
		at := got.header.Get("Location")
		if got.status != http.StatusFound || len(at) > 1<<10 {
			t.Fatalf("%s: %v to %d bytes", protocol, got.status, len(at))
		}
		c := s.client()
		if page := c.open(at); page.status != http.StatusOK || !strings.Contains(page.body, "too long to be kept") {
			t.Errorf("%s: %v", protocol, page)
		}
		if got := c.loginAt(at, "alice", passwordOf("alice")); got.status != http.StatusSeeOther || got.header.Get("Location") != s.url("app", "/") {
			t.Errorf("%s: %v", protocol, got)
		}
	})
}

// TestTheAccountPageLeadsBack: to where people came from, through a login and through its own forms, and to no other site.
func TestTheAccountPageLeadsBack(t *testing.T) {
	t.Parallel()
	s := pagesSite(t)
	c := s.client()
	account, back := s.url("login", "/account"), s.url("app", "/page?a=1&b=2")
	for _, from := range []string{"https://evil.example/", s.url("login", "/login")} {
		if got := c.fresh().login("alice").open(account+"?redirect_uri="+url.QueryEscape(from), "Referer: "+from); strings.Contains(got.body, "Back to") {
			t.Errorf("%s: %v", from, got)
		}
	}
	sent := c.open(account, "Referer: "+back)
	if sent.status != http.StatusFound {
		t.Fatalf("nobody is signed in: %v", sent)
	}
	landed := c.loginAt(sent.header.Get("Location"), "alice", passwordOf("alice"))
	page := c.open(resolve(t, account, landed.header.Get("Location")))
	const link = "Back to app.viloforge.test"
	if !strings.Contains(page.body, link) || !strings.Contains(page.body, `href="`+strings.ReplaceAll(back, "&", "&amp;")+`"`) {
		t.Fatalf("after the login: %v", page)
	}
	f := formIn(t, resolve(t, account, landed.header.Get("Location")), page.body, "new_password")
	f.fields.Set("password", passwordOf("alice"))
	f.fields.Set("new_password", "another good password")
	f.fields.Set("new_password_again", "another good password")
	changed := c.submit(f)
	if page := c.open(resolve(t, account, changed.header.Get("Location"))); changed.status != http.StatusSeeOther || !strings.Contains(page.body, link) || !strings.Contains(page.body, "is changed") {
		t.Errorf("after a change: %v, %v", changed, page)
	}
}

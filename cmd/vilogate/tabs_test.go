package main_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// TestTabsOfALogin: any number of login forms, opened in any order before the browser has a cookie, take the right password.
// The browser keeps the cookie that it was given last.
func TestTabsOfALogin(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			var forms []form
			kept := ""
			for range 4 {
				at := s.url("login", "/login?redirect_uri="+url.QueryEscape(s.url("app", "/x")))
				got := p.send(s, t, request{host: "login.viloforge.test", target: strings.TrimPrefix(at, s.url("login", "")), header: navigation})
				forms = append(forms, formIn(t, at, got.body, "password"))
				cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
				kept = cookie
			}
			for i, f := range forms {
				f.fields.Set("username", "alice")
				f.fields.Set("password", passwordOf("alice"))
				posted := request{
					method: http.MethodPost, host: "login.viloforge.test", target: strings.TrimPrefix(f.action, s.url("login", "")), body: f.fields.Encode(),
					header: []string{
						"Cookie: " + kept, "Content-Type: application/x-www-form-urlencoded", "Origin: " + s.url("login", ""),
						"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Accept: text/html",
					},
				}
				if got := p.send(s, t, posted); got.status != http.StatusSeeOther || got.header.Get("Location") != s.url("app", "/x") {
					t.Errorf("tab %d: %v", i, got)
				}
				posted.header[2] = "Origin: " + s.url("app", "")
				posted.header[5] = "Sec-Fetch-Site: same-site"
				if got := p.send(s, t, posted); i < len(forms)-1 && got.status != http.StatusForbidden {
					t.Errorf("tab %d's form, sent by a sibling host: %v", i, got)
				}
			}
		})
	}
}

// seenCookie is how a gateway names the SSO cookie that it was sent to the login host.
func seenCookie(value string) string {
	return fmt.Sprintf("&seen_cookie=%x", sha256.Sum256([]byte(value)))[:len("&seen_cookie=")+8]
}

// TestOnlyALoopIsALoop: what a page of a sibling host fetches in the background, and tabs that are restored side by side, lead
// nobody to the page that explains a loop; a browser that comes back from three rounds sees it, and may try again.
func TestOnlyALoopIsALoop(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	target := "/login?redirect_uri=" + url.QueryEscape(s.url("app", "/x"))
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			session := "Cookie: " + sessionCookie + "=" + s.client().login("alice").cookie("login", sessionCookie)
			visit := func(header ...string) answer {
				return p.send(s, t, request{host: "login.viloforge.test", target: target, header: header})
			}
			for range 5 {
				if got := visit(session, "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"); got.status != http.StatusUnauthorized || len(got.header.Values("Set-Cookie")) > 0 {
					t.Errorf("a fetch in the background: %v", got)
				}
			}
			if got := visit(append([]string{session}, navigation...)...); got.status != http.StatusSeeOther {
				t.Errorf("the person's own way: %v", got)
			}
			var tabs sync.WaitGroup
			for range 8 {
				tabs.Go(func() {
					if got := visit(append([]string{session}, navigation...)...); got.status != http.StatusSeeOther {
						t.Errorf("one of eight tabs: %v", got)
					}
				})
			}
			tabs.Wait()
		})
	}
	// Eight tabs of one address, all of them asked for with a cookie that does not count any more, before the first has another:
	// one after the other they come to the login host with what the one before was given.
	c := s.client().login("alice")
	var tabs []string
	for range 8 {
		got := c.fresh().open(s.url("app", "/x"), cookieLine("has-expired"))
		if got.status != http.StatusFound {
			t.Fatalf("a tab: %v", got)
		}
		tabs = append(tabs, got.header.Get("Location"))
	}
	for i, tab := range tabs {
		if got := c.open(tab); got.status != http.StatusSeeOther {
			t.Errorf("tab %d of eight that were restored: %v", i, got)
		}
	}
	// A site that does not believe the cookie that the browser was given.
	c = s.client().login("alice")
	for i := range 5 {
		got := c.fresh().open(s.url("app", "/x"), cookieLine("not-believed"))
		back := strings.Replace(got.header.Get("Location"), seenCookie("not-believed"), seenCookie(c.sso()), 1)
		if got := c.open(back); (got.status == http.StatusConflict) != (i == 4) {
			t.Errorf("visit %d of a loop: %v", i, got)
		}
	}
	c = s.client().login("alice")
	for round := range 2 {
		for range 4 {
			if got := c.open(s.url("login", target)); got.status != http.StatusSeeOther {
				t.Fatalf("round after round: %v", got)
			}
		}
		got := c.open(s.url("login", target))
		if got.status != http.StatusConflict || !strings.Contains(got.body, "does not get the cookie that it is given") || !strings.Contains(got.body, s.url("app", "/x")) {
			t.Errorf("after three rounds (%d): %v", round, got)
		}
	}
}

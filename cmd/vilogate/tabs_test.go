package main_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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

// visit is what a tab asks for.
type visit struct {
	method, address, body string
	header                []string
}

// inReverse has the tabs of a browser ask together, with the cookies that it has, and gives it the answers in reverse.
func (c *client) inReverse(visits []visit) []answer {
	c.tb.Helper()
	plain := *c
	plain.http = &http.Client{Transport: c.http.Transport, Timeout: c.http.Timeout, CheckRedirect: c.http.CheckRedirect} // without the jar
	answers := make([]answer, len(visits))
	var group sync.WaitGroup
	for i, v := range visits {
		header := append(append([]string{}, navigation...), v.header...)
		for _, cookie := range c.jar.Cookies(parse(c.tb, v.address)) {
			header = append(header, "Cookie: "+cookie.String())
		}
		group.Go(func() {
			var err error
			if answers[i], err = plain.try(v.method, v.address, v.body, header...); err != nil {
				c.tb.Error(err)
			}
		})
	}
	group.Wait()
	for i, a := range slices.Backward(answers) {
		c.jar.SetCookies(parse(c.tb, visits[i].address), (&http.Response{Header: a.header}).Cookies())
	}
	return answers
}

func parse(tb testing.TB, address string) *url.URL {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// TestEightTabsAreAnsweredInReverse: tabs that a browser restores together go through the login host together, and the answers
// arrive in reverse: with an expired token, with none, and without any cookie, each with a form. All end where they began.
func TestEightTabsAreAnsweredInReverse(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 30s\n  renewal_max: 1s") // all eight are given one token while it holds
	s.addUser("bob", "member")
	tabs := make([]visit, 8)
	for i := range tabs {
		tabs[i] = visit{method: http.MethodGet, address: s.url("app", "/tab"+strconv.Itoa(i/2))} // two of each
	}
	for protocol, user := range map[string]string{"http/1.1": "alice", "h2": "bob"} { // an account has ten attempts at a time
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			seen := newSuccessors(t)
			c := seen.watch(newClient(t, s, s.tls("", protocol)))
			toLogin := func() (logins []visit) {
				var answers []answer
				eventually(t, "all tabs are judged", func() bool {
					answers = c.inReverse(tabs)
					return !slices.ContainsFunc(answers, isLate)
				})
				for i, got := range answers {
					if got.status != http.StatusFound {
						t.Fatalf("tab %d is not sent to the login host: %v", i, got)
					}
					logins = append(logins, visit{method: http.MethodGet, address: got.header.Get("Location")})
				}
				return logins
			}
			// allBack fails unless all are sent back with one token, or each with its own where each had signed in.
			allBack := func(what string, answers []answer, tokens int) {
				t.Helper()
				given := map[string]bool{}
				for i, got := range answers {
					if got.status != http.StatusSeeOther || got.header.Get("Location") != tabs[i].address || setSSO(got) == "" {
						t.Fatalf("%s, tab %d: %v", what, i, got)
					}
					given[claimsIn(t, setSSO(got)).JTI] = true
				}
				if len(given) != tokens {
					t.Errorf("%s: %d tokens, want %d", what, len(given), tokens)
				}
				for i, tab := range tabs {
					if at, page := c.follow(tab.address); page.status != http.StatusOK || at != tab.address {
						t.Errorf("%s, tab %d ends at %s: %v", what, i, at, page)
					}
				}
			}
			logins := toLogin()
			var posts []visit
			for i, got := range c.inReverse(logins) {
				f := formIn(t, logins[i].address, got.body, "password")
				f.fields.Set("username", user)
				f.fields.Set("password", passwordOf(user))
				posts = append(posts, visit{http.MethodPost, f.action, f.fields.Encode(), []string{
					"Content-Type: application/x-www-form-urlencoded", "Origin: " + s.url("login", ""), "Sec-Fetch-Site: same-origin",
				}})
			}
			allBack("signing in", c.inReverse(posts), len(tabs))
			expire(t, c.sso())
			allBack("with an expired token", c.inReverse(toLogin()), 1)
			c.jar.SetCookies(parse(t, s.url("app", "")), []*http.Cookie{{Name: ssoCookie, Domain: s.domain, Path: "/", MaxAge: -1}})
			allBack("without a token", c.inReverse(toLogin()), 1)
			nobodySuspected(t, s)
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

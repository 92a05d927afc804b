package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// sessionList is what /.vilogate/sessions answers.
type sessionList struct {
	Sessions []struct {
		ID, Browser, Address string
		Current              bool
		NewDevice            bool `json:"new_device"`
	}
	FormToken string `json:"form_token"`
}

// sessions asks for the client's sessions as a script of the login host does.
func (c *client) sessions(header ...string) answer {
	c.tb.Helper()
	return c.do(http.MethodGet, c.site.url("login", "/.vilogate/sessions"), "", append([]string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, header...)...)
}

// current is the id of the client's own session.
func (c *client) current() string {
	c.tb.Helper()
	for _, s := range object[sessionList](c.tb, c.sessions()).Sessions {
		if s.Current {
			return s.ID
		}
	}
	c.tb.Fatal("no session is the client's own")
	return ""
}

// refusedEverywhere waits until every gateway refuses the token, and returns how long that took from now.
func refusedEverywhere(t *testing.T, sso string, gateways ...*site) time.Duration {
	t.Helper()
	answered := time.Now()
	for _, s := range gateways {
		within(t, unhelped, "the session is over", func() bool { return s.ask(t, "app", sso) == http.StatusUnauthorized })
	}
	return time.Since(answered)
}

// TestAnEndedSessionIsOverAtEveryGateway: by the account page and by what programs ask, one and all others; what was not ended
// goes on.
func TestAnEndedSessionIsOverAtEveryGateway(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "")
	f.idp.addUser("mallory", "member")
	one, two := f.gateway(), f.gateway()
	me, first, second, third := one.client().login("alice"), two.client().login("alice"), two.client().login("alice"), one.client().login("alice")
	mallory := two.client().login("mallory")
	for i, c := range []*client{me, first, second, third} {
		for _, s := range []*site{one, two} {
			if got := s.ask(t, "app", c.sso()); got != http.StatusOK {
				t.Fatalf("session %d: %d", i, got)
			}
		}
	}

	account := one.url("login", "/account")
	form := formIn(t, account, me.open(account).body, "do")
	ended := first.current()
	form.fields.Set("session", ended)
	if got := me.submit(form); got.status != http.StatusSeeOther || got.header.Get("Location") != "/account?ended="+ended {
		t.Fatalf("ending one: %v", got)
	}
	delays := []time.Duration{refusedEverywhere(t, first.sso(), one, two)}

	list := object[sessionList](t, me.sessions())
	if len(list.Sessions) != 3 {
		t.Fatalf("%+v", list)
	}
	post := func(c *client, token string, fields url.Values) answer {
		fields.Set("form_token", token)
		return c.do(http.MethodPost, c.site.url("login", "/.vilogate/sessions"), fields.Encode(), "Content-Type: application/x-www-form-urlencoded",
			"Origin: https://"+c.site.authority("login"), "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
	}
	theirs := object[sessionList](t, mallory.sessions())
	if got := post(mallory, theirs.FormToken, url.Values{"do": {"end"}, "session": {second.current()}}); got.status != http.StatusNotFound || got.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("mallory ends a session of alice's: %v", got)
	}
	if got := post(me, theirs.FormToken, url.Values{"do": {"others"}}); got.status != http.StatusForbidden {
		t.Errorf("with mallory's form token: %v", got)
	}
	if got := post(me, list.FormToken, url.Values{"do": {"end"}, "session": {second.current()}}); got.status != http.StatusNoContent {
		t.Fatalf("ending another: %v", got)
	}
	delays = append(delays, refusedEverywhere(t, second.sso(), one, two))
	if got := post(me, list.FormToken, url.Values{"do": {"others"}}); got.status != http.StatusNoContent {
		t.Fatalf("ending the rest: %v", got)
	}
	delays = append(delays, refusedEverywhere(t, third.sso(), one, two))
	t.Logf("from the answer to the refusal at both gateways: %v", delays)
	if got := third.open(account); got.status == http.StatusOK {
		t.Errorf("the IdP still knows a session that is over: %v", got)
	}
	for _, s := range []*site{one, two} {
		if me, other := s.ask(t, "app", me.sso()), s.ask(t, "app", mallory.sso()); me != http.StatusOK || other != http.StatusOK {
			t.Errorf("the session that ended the others: %d, mallory's: %d", me, other)
		}
	}
}

// TestSessionsForPrograms: on the login host alone, in both protocols, and for nobody else's pages.
func TestSessionsForPrograms(t *testing.T) {
	t.Parallel()
	s, backend := signing(t, "access_token_ttl: 1h")
	c := s.client().login("alice")
	cookies := fmt.Sprintf("Cookie: %s=%s; %s=%s", ssoCookie, c.sso(), sessionCookie, c.cookie("login", sessionCookie))
	for _, test := range []struct {
		host, method, target string
		header               string
		status               int
	}{
		{"login", "GET", "/.vilogate/sessions", "Sec-Fetch-Site: same-origin", http.StatusOK},
		{"login", "GET", "/.vilogate/%73essions", "Sec-Fetch-Site: same-origin", http.StatusOK},
		{"login", "GET", "/.vilogate/sessions", "Sec-Fetch-Site: same-site", http.StatusForbidden},
		{"login", "GET", "/.vilogate/sessions", "Origin: https://app.viloforge.test", http.StatusForbidden},
		{"login", "PUT", "/.vilogate/sessions", "Sec-Fetch-Site: same-origin", http.StatusMethodNotAllowed},
		{"login", "POST", "/.vilogate/sessions", "Sec-Fetch-Site: same-site", http.StatusUnsupportedMediaType},
		{"login", "GET", "/.vilogate/sessions/x", "Sec-Fetch-Site: same-origin", http.StatusNotFound},
		{"login", "GET", "/.vilogate%2Fsessions", "Sec-Fetch-Site: same-origin", http.StatusBadRequest},
		{"app", "GET", "/.vilogate/sessions", "Sec-Fetch-Site: same-origin", http.StatusNotFound},
	} {
		r := request{method: test.method, host: s.authority(test.host), target: test.target, header: []string{cookies, test.header, "Accept: application/json"}}
		s.eachProtocol(t, r, func(protocol string, got answer) {
			if got.status != test.status || (got.status == http.StatusOK) != strings.Contains(got.body, `"current":true`) {
				t.Errorf("%s, %s %s%s, %s: %v", protocol, test.method, test.host, test.target, test.header, got)
			}
		})
	}
	if n := len(backend.all()); n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
}

// TestBrowserEndsSessions: the page in a real browser, wide and on a phone, and what a hostile User-Agent makes of it.
func TestBrowserEndsSessions(t *testing.T) {
	t.Parallel()
	s := develop(t)
	var others []*client
	for range 3 {
		c := s.client()
		at, page := c.follow(s.url("login", "/login"))
		f := formIn(t, at, page.body, "password")
		f.fields.Set("username", "alice")
		f.fields.Set("password", "alice")
		if got := c.submit(f, `User-Agent: "><img src=x onerror=document.title='hit'><script>document.title='hit'</script> Firefox/145 (Linux)`); got.status != http.StatusSeeOther {
			t.Fatal(got)
		}
		others = append(others, c)
	}
	b := browse(t, s).tab()
	account := s.url("login", "/account")
	b.open(account)
	b.signIn("alice", "alice")
	b.at(account)
	rows := `JSON.stringify([...document.querySelectorAll(".sessions li")].map(r => r.innerText))`
	if got := b.evaluate(rows); !strings.HasPrefix(got, `["Chrome on Linux this one new`) || strings.Count(got, "Unknown browser on Linux new") != 3 || strings.Contains(got, "img") {
		t.Errorf("the page lists %s", got)
	}
	if title := b.evaluate("document.title"); title != "Your account" || b.evaluate("document.images.length + document.scripts.length") != "0" {
		t.Errorf("the title is %q: a User-Agent is markup", title)
	}
	for _, width := range []int64{320, 1280} {
		b.run("a screen", chromedp.EmulateViewport(width, 800))
		b.open(account)
		if wide := b.evaluate("document.documentElement.scrollWidth"); wide != fmt.Sprint(width) {
			t.Errorf("%s px wide on a screen of %d", wide, width)
		}
		outside := `[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().width > 0 && (e.getBoundingClientRect().left < 0 || e.getBoundingClientRect().right > innerWidth)).length`
		if n := b.evaluate(outside); n != "0" {
			t.Errorf("%s elements leave a screen of %d", n, width)
		}
	}
	b.run("ending one", chromedp.Click(chromedp.CSS(`.sessions button`)))
	eventually(t, "one is over", func() bool {
		return strings.Contains(b.evaluate(`document.querySelector("[role=status]")?.innerText`), "That session is over.")
	})
	alive := func() (n int) {
		for _, c := range others {
			if c.sessions().status == http.StatusOK {
				n++
			}
		}
		return n
	}
	if n := alive(); n != 2 {
		t.Errorf("%d of the others go on", n)
	}
	b.run("ending the others", chromedp.Click(chromedp.CSS(`input[value="others"] ~ button`)))
	eventually(t, "the others are over", func() bool {
		return strings.Contains(b.evaluate(`document.querySelector("[role=status]")?.innerText`), "Your other sessions are over.")
	})
	if n := alive(); n != 0 || b.evaluate(`document.querySelectorAll(".sessions li").length`) != "1" {
		t.Errorf("%d of the others go on", n)
	}
	for _, c := range others {
		if !slices.Contains([]int{http.StatusUnauthorized, http.StatusFound}, c.get(s.url("website", "/")).status) {
			t.Error("the website still knows a session that is over")
		}
	}
	b.quiet()
}

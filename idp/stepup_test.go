package idp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestAPasswordIsAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	before := w.claims(c.cookie(ssoCookie))
	w.clock.advance(10 * time.Minute)
	back := "https://website.viloforge.test/invoices"
	login := "/login?redirect_uri=" + url.QueryEscape(back)
	for query, again := range map[string]bool{
		"":                              false,
		"&max_age=601":                  false,
		"&max_age=599":                  true,
		"&max_age=0":                    true,
		"&max_age=-1":                   true,
		"&max_age=x":                    true,
		"&max_age=99999999999":          true,
		"&max_age=3600&max_age=60":      true,
		"&prompt=login":                 true,
		"&prompt=consent+login":         true,
		"&prompt=login&max_age=3600":    true,
		"&max_age=3600&acr_values=pwd":  false,
		"&prompt=none&acr_values=mfas+": false,
	} {
		got := c.get(login + query)
		if asked := got.status == http.StatusOK && strings.Contains(got.body, "Sign in again"); asked != again || !again && got.location() != back {
			t.Errorf("%s: asked again is %v; %d to %q", query, asked, got.status, got.location())
		}
		if again && !strings.Contains(got.body, `value="alice"`) {
			t.Errorf("%s: the form does not know who it is", query)
		}
	}

	page := c.get(login + "&max_age=60")
	wrong := c.submit(page.form(t, "username"), "username", "alice", "password", "wrong")
	if wrong.status != http.StatusUnauthorized || w.claims(c.cookie(ssoCookie)).Session() != before.Session() {
		t.Errorf("after a wrong password: %d", wrong.status)
	}
	got := c.submit(wrong.form(t, "username"), "username", "alice", "password", secret)
	after := w.claims(c.cookie(ssoCookie))
	if got.status != http.StatusSeeOther || got.location() != back || !after.AuthTime().Equal(before.AuthTime().Add(10*time.Minute)) || after.Session() == before.Session() {
		t.Errorf("%d to %q; auth_time %v after %v", got.status, got.location(), after.AuthTime(), before.AuthTime())
	}
	if !w.list.SessionRevoked("vilogate", before.Session()) {
		t.Error("the session before is not over")
	}
	if again := c.get(login + "&max_age=60"); again.status != http.StatusSeeOther {
		t.Errorf("a login just now is not enough: %d", again.status)
	}
}

// TestASecondFactorIsExplainedAndNotLoopedFor: there is none yet, so whoever is asked for one stays here.
func TestASecondFactorIsExplainedAndNotLoopedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []*client{w.client(), w.client().login("alice")} {
		for _, acr := range []string{"mfa", "phr+mfa"} {
			got := c.get("/login?redirect_uri="+url.QueryEscape("https://website.viloforge.test/")+"&acr_values="+acr, "Sec-Fetch-Dest: document")
			if got.status != http.StatusForbidden || got.location() != "" || !strings.Contains(got.body, "second factor") {
				t.Errorf("%s: %d to %q\n%s", acr, got.status, got.location(), got.body)
			}
		}
	}
}

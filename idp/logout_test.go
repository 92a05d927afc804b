package idp

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

func TestSigningOutEndsTheSessionAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	claims, session := w.claims(c.cookie(ssoCookie)), c.cookie(sessionCookie)
	page := c.get("/logout")
	if strings.Contains(page.body, "signed out") {
		t.Errorf("the question says that it was done:\n%s", page.body)
	}
	got := c.submit(page.form(t, csrfField))
	if got.status != http.StatusSeeOther || got.location() != "/logout?done" || !w.list.revoked(claims) {
		t.Fatalf("%d to %q, revoked %t", got.status, got.location(), w.list.revoked(claims))
	}
	set := got.setCookies(t)
	for _, name := range []string{sessionCookie, ssoCookie, ssoCookie + "@" + domain} {
		if set[name] == nil || set[name].MaxAge >= 0 {
			t.Errorf("%s is not cleared", name)
		}
	}
	if done := c.get(got.location()); done.status != http.StatusOK || !strings.Contains(done.body, "You are signed out") {
		t.Errorf("%d\n%s", done.status, done.body)
	}
	if again := w.client().get("/account", "Cookie: "+sessionCookie+"="+session); again.status == http.StatusOK {
		t.Error("the session still lives")
	}
}

func TestALogoutThatCannotBeRecordedIsNoLogout(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, where := range []struct {
		page, field string
	}{{"/logout", csrfField}, {"/account", "do=everywhere"}} {
		c := w.client().login("alice")
		claims := w.claims(c.cookie(ssoCookie))
		f := c.get(where.page).form(t, where.field)
		w.list.set(func(l *list) { l.broken = true })
		got := c.submit(f)
		w.list.set(func(l *list) { l.broken = false })
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || len(got.header.Values("Set-Cookie")) > 0 {
			t.Errorf("%s: %d, cookies %q", where.page, got.status, got.header.Values("Set-Cookie"))
		}
		if strings.Contains(got.body, "You are signed out") || !strings.Contains(got.body, "still signed in") {
			t.Errorf("%s:\n%s", where.page, got.body)
		}
		if w.list.revoked(claims) || c.get("/account").status != http.StatusOK {
			t.Errorf("%s: not signed in any more", where.page)
		}
		if done := c.get("/logout?done"); strings.Contains(done.body, "You are signed out") {
			t.Errorf("%s: and then it says:\n%s", where.page, done.body)
		}
		if got := c.submit(c.get(where.page).form(t, where.field)); got.status != http.StatusSeeOther || !w.list.revoked(claims) {
			t.Errorf("%s, when the log is back: %d", where.page, got.status)
		}
	}
}

func TestSignedOutIsNeverSaidToWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	sso, session := c.cookie(ssoCookie), c.cookie(sessionCookie)
	var asked sync.WaitGroup
	for name, cookies := range map[string][]string{
		"by both cookies":       {"Cookie: " + ssoCookie + "=" + sso + "; " + sessionCookie + "=" + session},
		"by the session alone":  {"Cookie: " + sessionCookie + "=" + session},
		"by the SSO alone":      {"Cookie: " + ssoCookie + "=" + sso},
		"by one of two SSO":     {"Cookie: " + ssoCookie + "=x; " + ssoCookie + "=" + sso},
		"by the other of two":   {"Cookie: " + ssoCookie + "=" + sso, "Cookie: " + ssoCookie + "=x"},
		"by the SSO, not by it": {"Cookie: " + ssoCookie + "=" + sso + "; " + sessionCookie + "=x"},
	} {
		for _, path := range []string{"/logout?done", "/logout"} {
			asked.Go(func() {
				got := w.client().get(path, cookies...)
				if got.status != http.StatusOK || strings.Contains(got.body, "signed out") || strings.Contains(got.body, "Nobody is signed in") {
					t.Errorf("%s, %s: %d\n%s", path, name, got.status, got.body)
				}
				if !strings.Contains(got.body, "<form") { // to do it
					t.Errorf("%s, %s: no form\n%s", path, name, got.body)
				}
			})
		}
	}
	asked.Wait()
	// A token that has expired stands for its session, which lives; one that another took the place of stands for nothing.
	w.clock.advance(20 * time.Minute)
	if got := w.client().get("/logout?done", "Cookie: "+ssoCookie+"="+sso); strings.Contains(got.body, "signed out") || !strings.Contains(got.body, "<form") {
		t.Errorf("by a token that has expired:\n%s", got.body)
	}
	for range 2 {
		c.get("/login") // a new token
		w.clock.advance(20 * time.Minute)
	}
	if got := w.client().get("/logout?done", "Cookie: "+ssoCookie+"="+sso); !strings.Contains(got.body, "You are signed out") {
		t.Errorf("by a stale token:\n%s", got.body)
	}
}

func TestAnSSOCookieNamesItsSessionHoweverOldItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	claims, sso := w.claims(c.cookie(ssoCookie)), c.cookie(ssoCookie)
	w.clock.advance(5 * time.Hour)
	// The browser has lost the session cookie, and a tosser has added another SSO cookie.
	other := w.client()
	for _, value := range []string{sso, "tossed"} {
		other.jar.SetCookies(&url.URL{Scheme: "https", Host: loginHost, Path: "/" + value[:1]},
			[]*http.Cookie{{Name: ssoCookie, Value: value, Path: "/", Secure: true, Domain: map[string]string{sso: domain}[value]}})
	}
	other.get("/login") // gives the form cookie
	w.clock.advance(-5 * time.Hour)
	f := other.get("/logout").form(t, csrfField)
	w.clock.advance(5 * time.Hour)
	if got := other.submit(f); got.status != http.StatusSeeOther || !w.list.revoked(claims) {
		t.Errorf("%d, revoked %t", got.status, w.list.revoked(claims))
	}
	if got := c.get("/account"); got.status != http.StatusFound {
		t.Errorf("the session still lives: %d", got.status)
	}
	for _, e := range w.list.entries {
		if e.ID == claims.Session() && e.Expires.Before(claims.AuthTime().Add(30*24*time.Hour)) {
			t.Errorf("its revocation ends before the session: %v", e.Expires)
		}
	}
}

func TestTheSignOutOfAGatewayMayArriveALittleLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	sid := w.claims(c.cookie(ssoCookie)).Session()
	var asked atomic.Int32
	w.list.asking = func() {
		if asked.Add(1) == 3 {
			w.list.set(func(l *list) { l.sessions[sid] = true })
		}
	}
	got := c.get("/logout?done")
	if got.status != http.StatusOK || !strings.Contains(got.body, "You are signed out") || c.cookie(sessionCookie) != "" || asked.Load() < 3 {
		t.Errorf("asked %d times: %d\n%s", asked.Load(), got.status, got.body)
	}
}

// TestTheLastLookIsAtTheEndOfTheWait: what arrived while the process did not run is known when the wait is over.
func TestTheLastLookIsAtTheEndOfTheWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	x := &exchange{idp: w.idp, r: httptest.NewRequestWithContext(over, http.MethodGet, "/logout?done", nil)}
	s := cookieSessions{session: "s", active: []string{"s"}}
	w.list.set(func(l *list) { l.sessions["s"] = true })
	x.awaitRevocation(&s)
	if s.session != "" || len(s.active) > 0 {
		t.Errorf("%v", s.active)
	}
}

func TestALogoutFormIsBoundToItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	f := c.get("/logout").form(t, csrfField)
	c.submit(c.get("/logout").form(t, csrfField))
	c.login("alice")
	if got := c.submit(f); got.status != http.StatusForbidden || c.get("/account").status != http.StatusOK {
		t.Errorf("a form of an earlier session: %d", got.status)
	}
	stranger := w.client()
	if got := stranger.do(http.MethodPost, "/logout", "", "Content-Type: application/x-www-form-urlencoded", "Cookie: "+sessionCookie+"="+c.cookie(sessionCookie)); got.status != http.StatusForbidden {
		t.Errorf("without a token: %d", got.status)
	}
	if c.get("/account").status != http.StatusOK {
		t.Error("a forged form signed alice out")
	}
}

func TestNobodySignsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client()
	if got := c.get("/logout"); got.status != http.StatusOK || !strings.Contains(got.body, "Nobody is signed in") {
		t.Errorf("%d\n%s", got.status, got.body)
	}
	if got := c.get("/logout?done"); got.status != http.StatusOK || !strings.Contains(got.body, "You are signed out") {
		t.Errorf("%d\n%s", got.status, got.body)
	}
}

// countVerifications has the identity provider count the signatures that it verifies: each asks for the key once.
func (w *world) countVerifications() *atomic.Int64 {
	w.tb.Helper()
	var n atomic.Int64
	verifier, err := token.NewVerifier(token.VerifierConfig{Issuers: []token.IssuerConfig{{
		Name: token.OwnIssuer, ISS: w.idp.Issuer(), Audiences: []string{"viloforge"}, Cookie: ssoCookie, Own: true,
		Keys: token.KeySourceFunc(func(kid string, now time.Time) (token.PublicKey, error) {
			n.Add(1)
			return w.idp.Keys().Key(kid, now)
		}),
	}}})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.idp.verifier = verifier
	return &n
}

func TestCopiesOfACookieCostOneSignature(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	verified := w.countVerifications()
	sso := w.client().login("alice").cookie(ssoCookie)
	var copies []string
	for range 80 {
		copies = append(copies, "Cookie: "+ssoCookie+"="+sso)
	}
	for _, path := range []string{"/logout", "/logout?done"} { // the second asks for as long as it waits
		verified.Store(0)
		got := w.client().get(path, copies...)
		if n := verified.Load(); n != 1 || got.status != http.StatusOK || !strings.Contains(got.body, "<form") {
			t.Errorf("%s: %d signatures were verified, status %d\n%s", path, n, got.status, got.body)
		}
	}
}

// TestTooManySSOCookiesAreNeverCalledSignedOut: sixteen that could be ours are judged, as at the gateway; with one more
// nothing is ended, whoever asks, and a button of the page removes the cookies.
func TestTooManySSOCookiesAreNeverCalledSignedOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	claims, sso := w.claims(c.cookie(ssoCookie)), c.cookie(ssoCookie)
	const form = "Content-Type: application/x-www-form-urlencoded"
	forged := func(n int) string { // tokens of ours but for a few letters of their signatures
		var cookies []string
		for i := range n {
			cookies = append(cookies, fmt.Sprintf("%s=%s%04d%s", ssoCookie, sso[:len(sso)-8], i, sso[len(sso)-4:]))
		}
		return "Cookie: " + strings.Join(cookies, "; ")
	}
	verified := w.countVerifications()
	const most = token.MaxCookieSignatures
	if got := c.get("/logout", forged(most-1)); verified.Load() != most || got.status != http.StatusOK {
		t.Errorf("%d signatures were verified, want %d; %d", verified.Load(), most, got.status)
	}
	verified.Store(0)
	for _, path := range []string{"/logout", "/logout?done"} {
		got := w.client().get(path, forged(most), "Cookie: "+ssoCookie+"="+sso)
		if got.status != http.StatusConflict || strings.Contains(got.body, "You are signed out") || strings.Contains(got.body, "Nobody is signed in") || !strings.Contains(got.body, "<form") {
			t.Errorf("%s: %d\n%s", path, got.status, got.body)
		}
	}
	if n := verified.Load(); n > 2*(most+1) {
		t.Errorf("%d keys were asked for", n)
	}
	junk := "Cookie: " + strings.Repeat(ssoCookie+"=x; ", 4000) + ssoCookie + "=y" // net/http reads no cookie of so many
	if got := w.client().get("/logout?done", junk, "Cookie: "+ssoCookie+"="+sso); !strings.Contains(got.body, "<form") {
		t.Errorf("among junk: %d\n%s", got.status, got.body)
	}
	f := c.get("/logout").form(t, csrfField)
	got := c.do(http.MethodPost, f.at, f.fields.Encode(), forged(most), form)
	if got.status != http.StatusConflict || w.list.revoked(claims) || len(got.header.Values("Set-Cookie")) > 0 {
		t.Errorf("%d, revoked %t, %q", got.status, w.list.revoked(claims), got.header.Values("Set-Cookie"))
	}
	button := got.form(t, csrfField)
	for _, forgery := range []url.Values{{}, {csrfField: f.fields[csrfField]}} {
		if got := c.do(http.MethodPost, button.at, forgery.Encode(), forged(most), form); got.status != http.StatusForbidden || got.header.Get("Clear-Site-Data") != "" {
			t.Errorf("by a forged form: %d", got.status)
		}
	}
	got = c.do(http.MethodPost, button.at, button.fields.Encode(), forged(most), form)
	if got.status != http.StatusOK || got.header.Get("Clear-Site-Data") != `"cookies"` || strings.Contains(got.body, "signed out") || c.cookie(sessionCookie) != "" {
		t.Errorf("the button: %d, %v\n%s", got.status, got.header, got.body)
	}
	if !w.list.revoked(claims) { // its own session was known all the time
		t.Error("the session of the login host still lives")
	}
}

package idp

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

const next = "battery staple"

// changePassword fills the form of the account page in.
func (c *client) changePassword(current, first, again string) answer {
	c.tb.Helper()
	return c.submit(c.get("/account").form(c.tb, "do=password"), "password", current, "new_password", first, "new_password_again", again)
}

func TestTheAccountPageShowsWhoYouAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	got := c.get("/account")
	for _, want := range []string{"alice", "alice@viloforge.test", "Alice", "member"} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	stranger := w.client()
	if got := stranger.get("/account"); got.status != http.StatusFound || got.location() != loginAt+"/login?redirect_uri=https%3A%2F%2Flogin.viloforge.test%2Faccount" {
		t.Errorf("a stranger: %d to %q", got.status, got.location())
	}
	stranger.header.Set("Accept", "application/json")
	if got := stranger.get("/account"); got.status != http.StatusUnauthorized || !strings.Contains(got.body, `"login_url"`) {
		t.Errorf("a program: %d\n%s", got.status, got.body)
	}
	if got := w.client().try(loginAt+"/login?redirect_uri=https%3A%2F%2Flogin.viloforge.test%2Faccount", "alice", secret); got.location() != "/account" {
		t.Errorf("after the login: %q", got.location())
	}
}

func TestANewPasswordKeepsItsSessionAndEndsTheOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, other := w.client().login("alice"), w.client().login("alice")
	mine, others := w.claims(c.cookie(ssoCookie)), w.claims(other.cookie(ssoCookie))
	got := c.changePassword(secret, next, next)
	if got.status != http.StatusSeeOther || got.location() != "/account?changed" {
		t.Fatalf("%d to %q\n%s", got.status, got.location(), got.body)
	}
	if page := c.get(got.location()); page.status != http.StatusOK || !strings.Contains(page.body, `role="status"`) {
		t.Errorf("%d\n%s", page.status, page.body)
	}
	now := w.claims(c.cookie(ssoCookie))
	if now.Session() != mine.Session() || w.list.revoked(now) {
		t.Errorf("the session that did it has the token %+v, revoked %t", now, w.list.revoked(now))
	}
	if !w.list.revoked(mine) || !w.list.revoked(others) {
		t.Error("a token from before still opens doors")
	}
	for _, path := range []string{"/account", "/login"} {
		if got := other.get(path); got.status == http.StatusSeeOther || strings.Contains(got.body, "alice@") {
			t.Errorf("the other session still opens %s: %d", path, got.status)
		}
	}
	if got := w.client().try("/login", "alice", secret); got.status != http.StatusUnauthorized {
		t.Errorf("the old password: %d", got.status)
	}
	if got := w.client().try("/login", "alice", next); got.status != http.StatusSeeOther {
		t.Errorf("the new password: %d", got.status)
	}
}

func TestANewPasswordThatIsRefusedChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	for name, test := range map[string]struct {
		current, first, again string
		status                int
	}{
		"a wrong current one": {"wrong", next, next, http.StatusForbidden},
		"two that differ":     {secret, next, next + "x", http.StatusUnprocessableEntity},
		"too short":           {secret, "1234567", "1234567", http.StatusUnprocessableEntity},
		"empty":               {secret, "", "", http.StatusUnprocessableEntity},
		"too long":            {secret, strings.Repeat("x", 1025), strings.Repeat("x", 1025), http.StatusUnprocessableEntity},
	} {
		got := c.changePassword(test.current, test.first, test.again)
		if got.status != test.status || !strings.Contains(got.body, `role="alert"`) {
			t.Errorf("%s: %d\n%s", name, got.status, got.body)
		}
	}
	w.list.set(func(l *list) { l.broken = true })
	if got := c.changePassword(secret, next, next); got.status != http.StatusServiceUnavailable {
		t.Errorf("while the log is away: %d", got.status)
	}
	w.list.set(func(l *list) { l.broken = false })
	if len(w.list.entries) > 0 {
		t.Errorf("something was revoked: %v", w.list.entries)
	}
	w.client().login("alice")
}

func TestAStolenSessionIsNoWayToGuessThePassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.LoginLimits.PerAccount = gcra.Rate{Events: 3, Per: time.Hour} })
	c := w.client().login("alice")
	for range knownBrowserFailures + 3 { // the device cookie's, if it was stolen too, and the strangers'
		if got := c.changePassword("wrong", next, next); got.status != http.StatusForbidden {
			t.Fatalf("%d", got.status)
		}
	}
	if got := c.changePassword(secret, next, next); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("%d", got.status)
	}
}

func TestSigningOutEverywhereLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("bob")
	bob := w.client().login("bob")
	browsers := []*client{w.client().login("alice"), w.client().login("alice"), w.client().login("alice")}
	var tokens []string
	for _, c := range browsers {
		tokens = append(tokens, c.cookie(ssoCookie))
	}
	got := browsers[0].submit(browsers[0].get("/account").form(t, "do=everywhere"))
	if got.status != http.StatusSeeOther || got.location() != "/logout?done" {
		t.Fatalf("%d to %q", got.status, got.location())
	}
	for i, c := range browsers {
		if !w.list.revoked(w.claims(tokens[i])) {
			t.Errorf("token %d still opens doors", i)
		}
		if got := c.get("/account"); got.status != http.StatusFound {
			t.Errorf("session %d still lives: %d", i, got.status)
		}
	}
	if w.list.revoked(w.claims(bob.cookie(ssoCookie))) || bob.get("/account").status != http.StatusOK {
		t.Error("bob was signed out too")
	}
	// Whoever signs in at once is signed in.
	c := w.client().login("alice")
	if w.list.revoked(w.claims(c.cookie(ssoCookie))) {
		t.Error("a login afterwards is worth nothing")
	}
}

func TestTheAccountFormsAreBoundToBrowserAndSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	for name, f := range map[string]form{
		"no token":                  {"/account", map[string][]string{"do": {"everywhere"}}},
		"the logout form's token":   {"/account", map[string][]string{"do": {"everywhere"}, csrfField: c.get("/logout").form(t, csrfField).fields[csrfField]}},
		"another account's token":   {"/account", map[string][]string{"do": {"everywhere"}, csrfField: w.otherAccountToken(t)}},
		"the login form's own part": {"/account", map[string][]string{"do": {"everywhere"}, csrfField: w.client().get("/login").form(t, "username").fields[csrfField]}},
	} {
		if got := c.submit(f); got.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	f := c.get("/account").form(t, "do=everywhere")
	f.fields.Set("do", "something else")
	if got := c.submit(f); got.status != http.StatusBadRequest {
		t.Errorf("something else: %d", got.status)
	}
	if len(w.list.entries) > 0 || c.get("/account").status != http.StatusOK {
		t.Error("alice was signed out")
	}
}

func (w *world) otherAccountToken(tb testing.TB) []string {
	w.add("mallory")
	return w.client().login("mallory").get("/account").form(tb, "do=everywhere").fields[csrfField]
}

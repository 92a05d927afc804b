package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestSigningOutClearsTheCache: the answers to a sign-out, and what its last page loads, have the browser forget what it keeps
// of the host; nobody else can have it do so; and no page of ours is kept by anybody.
func TestSigningOutClearsTheCache(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	const clear = `"cache"`
	cleared := func(t *testing.T, what string, got answer, want string) {
		t.Helper()
		if header := got.header.Get("Clear-Site-Data"); header != want {
			t.Errorf("%s: Clear-Site-Data %q, want %q: %v", what, header, want, got)
		}
	}
	overBoth(t, s, func(t *testing.T, c *client, _ string) {
		image := s.url("app", "/.vilogate/clear")
		cleared(t, "the image, to somebody signed in", c.get(image, "Sec-Fetch-Site: same-site"), "")
		cleared(t, "the image, on another site's page", c.fresh().get(image, "Sec-Fetch-Site: cross-site"), "")
		cleared(t, "the image, to a program", c.fresh().get(image), "")
		for address, want := range map[string]int{
			s.url("app", "/.vilogate/me"): 200, image: 200, s.url("app", "/.vilogate/kept?id=x"): 410, s.url("app", "/.vilogate/x"): 404,
			s.url("app", "/admin"): 403, s.url("login", "/login"): 303, s.url("login", "/logout"): 200, s.url("login", "/account"): 200,
		} {
			if got := c.open(address); got.status != want || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %v", address, got)
			}
		}
		out := c.submit(form{action: s.url("app", "/.vilogate/logout")})
		if out.status != http.StatusSeeOther || out.header.Get("Location") != s.url("login", "/logout?done") || out.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("signing out by a form: %v", out)
		}
		cleared(t, "signing out by a form", out, clear)
		done := c.open(out.header.Get("Location"), "Referer: "+s.url("app", "/"))
		cleared(t, "the page that says so", done, clear)
		if !strings.Contains(done.body, `<img src="`+image+`"`) || !strings.Contains(done.header.Get("Content-Security-Policy"), "img-src data: "+s.url("app", "")+";") {
			t.Errorf("the page that says so loads no image of the host: %v", done)
		}
		cleared(t, "the image", c.get(image, "Sec-Fetch-Site: same-site"), clear)
		for _, from := range []string{"https://evil.example/", s.url("login", "/")} {
			if got := c.open(s.url("login", "/logout?done"), "Referer: "+from); strings.Contains(got.body, "<img") {
				t.Errorf("who came from %s: %v", from, got)
			}
		}
		c.login("alice")
		cleared(t, "signing out by a script", c.logout("app"), clear)
		c.login("alice")
		page := c.open(s.url("login", "/logout"))
		cleared(t, "the question whether to sign out", page, "")
		cleared(t, "signing out at the login host", c.submit(formIn(t, s.url("login", "/logout"), page.body, "")), clear)
	})
}

// TestSigningOutClearsWhatIsConfigured: logout.clear_site_data.
func TestSigningOutClearsWhatIsConfigured(t *testing.T) {
	t.Parallel()
	for list, want := range map[string]string{"[]": "", "[cache, storage]": `"cache", "storage"`} {
		backend := record(t)
		s := serve(t, map[string]string{
			"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("logout: { clear_site_data: %s }\nupstreams: { app: { url: %q } }\n", list, backend.url()),
			"policies/app.yaml": attackedPolicy,
		})
		s.addUser("alice", "member")
		c := s.client().login("alice")
		if got := c.logout("app"); got.status != http.StatusNoContent || got.header.Get("Clear-Site-Data") != want {
			t.Errorf("%s: %v", list, got)
		}
		done := c.open(s.url("login", "/logout?done"), "Referer: "+s.url("app", "/"))
		if done.header.Get("Clear-Site-Data") != want || strings.Contains(done.body, "<img") != (want != "") {
			t.Errorf("%s: %v", list, done)
		}
	}
}

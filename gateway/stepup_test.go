package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const stepUpRoutes = `routes:
  - { path: /recent, allow: { max_age: 5m } }
  - { path: /factor, allow: { roles: [member], mfa: 15m } }
  - { path: /either, allow: { any: [{ mfa: 15m }, { max_age: 1h }] } }
  - { path: /admin, allow: { roles: [admin], max_age: 5m } }
  - { path: /helps, allow: { any: [{ roles: [nosuch], max_age: 1s }, { not: { max_age: 1s } , amr: [none] }, { mfa: 15m }] } }
  - { path: /both, allow: { max_age: 10m, any: [{ roles: [nosuch] }, { mfa: 5m, all: [{ max_age: 7m }] }] } }
  - { path: /held, allow: { max_age: 5m, any: [{ amr: [mfa] }, { roles: [member] }] } }
  - { path: /nots, allow: { not: { not: { mfa: 15m } } } }
`

// cookieSessions is the cookie of somebody who signed in so long ago.
func (s *site) signedIn(ago time.Duration) string {
	g := s.grant()
	g.AuthTime = s.now.Add(-ago)
	return "Cookie: __Secure-sso=" + s.sign(g)
}

const navigation = "Sec-Fetch-Mode: navigate"

// follow returns the location of a step-up and the cookie that goes with it.
func follow(t *testing.T, resp *http.Response) (location, cookie string) {
	t.Helper()
	wantStatus(t, resp, 302)
	cookie, _, _ = strings.Cut(resp.Header.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, stepUpCookie+"=") {
		t.Fatalf("no cookie against loops: %v", resp.Header)
	}
	return resp.Header.Get("Location"), cookie
}

func TestStepUpSaysWhatIsNeeded(t *testing.T) {
	s := newSite(t, withRoutes(t, stepUpRoutes))
	const login = "https://login.example.test/login?redirect_uri=https%3A%2F%2Fapp.example.test%2F"
	for _, c := range []struct {
		path      string
		ago       time.Duration
		query     string
		challenge string
	}{
		{"/recent", 6 * time.Minute, "&max_age=300", `max_age="300"`},
		{"/factor", 0, "&max_age=900&acr_values=mfa", `acr_values="mfa", max_age="900"`},
		{"/either", 2 * time.Hour, "&max_age=3600", `max_age="3600"`},
		// Not what a login cannot make hold, nor what holds already; and everything at once.
		{"/helps", time.Hour, "&max_age=900&acr_values=mfa", `acr_values="mfa", max_age="900"`},
		{"/both", time.Hour, "&max_age=300&acr_values=mfa", `acr_values="mfa", max_age="300"`},
		{"/held", time.Hour, "&max_age=300", `description="a more recent login is needed", max_age="300"`},
		{"/nots", time.Hour, "&acr_values=mfa", `acr_values="mfa"`},
	} {
		cookie := s.signedIn(c.ago)
		location, _ := follow(t, s.ask("GET", c.path, cookie, navigation))
		if location != login+c.path[1:]+c.query {
			t.Errorf("%s: sent to %s", c.path, location)
		}
		for _, credential := range []string{cookie, strings.Replace(cookie, "Cookie: __Secure-sso=", "Authorization: Bearer ", 1)} {
			resp := s.ask("GET", c.path, credential)
			body, err := io.ReadAll(resp.Body)
			got := resp.Header.Get("WWW-Authenticate")
			if err != nil || resp.StatusCode != 401 || !strings.HasPrefix(got, `Bearer realm="https://app.example.test", error="insufficient_user_authentication"`) ||
				!strings.HasSuffix(got, c.challenge) || !strings.Contains(string(body), "/problems/step-up") {
				t.Errorf("%s: %d %s %s", c.path, resp.StatusCode, got, body)
			}
		}
		// Who came with a Bearer token is not helped by a cookie.
		wantStatus(t, s.ask("GET", c.path, strings.Replace(cookie, "Cookie: __Secure-sso=", "Authorization: Bearer ", 1), navigation), 401)
		wantStatus(t, s.ask("POST", c.path, cookie, navigation, "Sec-Fetch-Site: same-origin"), 401)
	}
	wantStatus(t, s.ask("GET", "/recent", s.signedIn(4*time.Minute)), 200)
	wantStatus(t, s.ask("GET", "/admin", s.signedIn(time.Hour), navigation), 403)
	wantStatus(t, s.ask("GET", "/recent", navigation), 302)
}

// TestAStepUpIsNoLoop: who comes back with a login that is no fresher sees a page; who signs in anew is let in, and may be
// asked again later.
func TestAStepUpIsNoLoop(t *testing.T) {
	s := newSite(t, withRoutes(t, stepUpRoutes))
	old := s.signedIn(6 * time.Minute)
	_, guard := follow(t, s.ask("GET", "/recent", old, navigation))
	s.now = s.now.Add(10 * time.Second)

	resp := s.ask("GET", "/recent", old+"; "+guard, navigation)
	wantStatus(t, resp, 401)
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), "prompt=login") || !strings.Contains(resp.Header.Get("Set-Cookie"), stepUpCookie+"=; ") {
		t.Errorf("%s\n%v %v", body, resp.Header, err)
	}
	follow(t, s.ask("GET", "/recent", old, navigation)) // the page took the cookie away

	fresh := s.signedIn(0)
	wantStatus(t, s.ask("GET", "/recent", fresh+"; "+guard, navigation), 200)
	s.now = s.now.Add(5*time.Minute - 11*time.Second)
	fresh = "Cookie: __Secure-sso=" + strings.TrimPrefix(fresh, "Cookie: __Secure-sso=")
	wantStatus(t, s.ask("GET", "/recent", fresh+"; "+guard, navigation), 200)
	s.now = s.now.Add(12 * time.Second)
	_, guard = follow(t, s.ask("GET", "/recent", fresh+"; "+guard, navigation))

	// What is no time, or lies in the past for long, does not count.
	for _, odd := range []string{stepUpCookie + "=x", stepUpCookie + "=", stepUpCookie + "=99999999999999999999", stepUpCookie + "=1"} {
		follow(t, s.ask("GET", "/recent", fresh+"; "+odd, navigation))
	}
	wantStatus(t, s.ask("GET", "/recent", fresh+"; "+stepUpCookie+"=1; "+guard, navigation), 401)
}

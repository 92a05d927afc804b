package main_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// successors knows of each token that was sent as the SSO cookie what took its place. It fails for a second one.
type successors struct {
	tb testing.TB
	mu sync.Mutex
	of map[string]string // guarded by mu; jti by jti
}

func newSuccessors(tb testing.TB) *successors { return &successors{tb: tb, of: map[string]string{}} }

func (s *successors) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.of)
}

// watch has a client's cookies seen.
func (s *successors) watch(c *client) *client {
	c.http.Transport = watched{c.http.Transport, s}
	return c
}

type watched struct {
	http.RoundTripper
	seen *successors
}

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := w.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	sent, err := r.Cookie(ssoCookie)
	if next := setSSO(answer{header: response.Header}); err == nil && next != "" {
		w.seen.replaced(sent.Value, next)
	}
	return response, nil
}

func (s *successors) replaced(raw, next string) {
	from, to := claimsIn(s.tb, raw), claimsIn(s.tb, next)
	if from.SID != to.SID || from.JTI == to.JTI {
		return // another login, or a copy
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.of[from.JTI]; known != "" && known != to.JTI {
		s.tb.Errorf("%s has two successors: %s and %s", from.JTI, known, to.JTI)
	}
	s.of[from.JTI] = to.JTI
}

// isIn waits until a signed-in browser's request goes on. 503 says to try again; a browser that is sent to sign in is not in.
func (c *client) isIn(t *testing.T, s *site) {
	t.Helper()
	eventually(t, "the browser goes on", func() bool {
		got, err := c.try(http.MethodGet, s.url("app", "/page"), "")
		if err == nil && got.status != http.StatusOK && got.status != http.StatusServiceUnavailable {
			t.Fatalf("somebody who is signed in: %v", got)
		}
		return err == nil && got.status == http.StatusOK
	})
	if at, page := c.follow(s.url("app", "/page?navigation")); page.status != http.StatusOK || at != s.url("app", "/page?navigation") {
		t.Fatalf("a navigation of somebody who is signed in ends at %s: %v", at, page)
	}
}

// isOut fails where a token, or the cookie of its session, still signs somebody in.
func isOut(t *testing.T, s *site, sso, session string) {
	t.Helper()
	got := s.withSSO(t, "/x", sso)
	if got.status != http.StatusUnauthorized || setSSO(got) != "" {
		t.Errorf("the token of somebody who signed out: %v", got)
	}
	back := s.url("login", "/login?redirect_uri="+url.QueryEscape(s.url("app", "/x")))
	got = s.client().open(back, "Cookie: "+sessionCookie+"="+session+"; "+ssoCookie+"="+sso)
	if got.status != http.StatusOK || !strings.Contains(got.body, "password") || setSSO(got) != "" {
		t.Errorf("the login host for somebody who signed out: %v", got)
	}
}

// nobodySuspected fails where an identity provider took an honest browser for a thief.
func nobodySuspected(t *testing.T, s *site) {
	t.Helper()
	for _, word := range []string{"session_replay", "redirect loop"} {
		if strings.Contains(s.output.String(), word) {
			t.Errorf("the log says %s", word)
		}
	}
}

// TestTheIdPIsKilledWhileItRenews: again and again, in the middle of what several dozen browsers ask with expired tokens, of
// which some sign out. Who is signed in stays so, who signed out does not come back, and no token has two successors.
func TestTheIdPIsKilledWhileItRenews(t *testing.T) {
	t.Parallel()
	const browsers, kills, leaving = 36, 5, 3 // of which so many sign out at each
	f := newFleet(t, "", "", "access_token_ttl: 2s")
	g := f.gateway()
	seen := newSuccessors(t)
	all := make([]*client, browsers)
	for i := range all {
		all[i] = seen.watch(g.client().login("alice"))
	}
	type left struct{ sso, session string }
	var gone []left
	for range kills {
		for _, c := range all {
			expire(t, c.sso())
		}
		leavers := make([]left, leaving)
		told := make([]int, leaving)
		begun := seen.count()
		var group sync.WaitGroup
		for i, c := range all {
			if i < leaving {
				leavers[i] = left{c.sso(), c.cookie("login", sessionCookie)}
			}
			group.Go(func() {
				for n := range 3 {
					got, err := c.try(http.MethodGet, g.url("app", "/page"), "")
					if err != nil || got.status != http.StatusOK && got.status != http.StatusServiceUnavailable {
						t.Errorf("browser %d: %v, %v", i, got, err)
						return
					}
					if n == 1 && i < leaving {
						got, err := c.try(http.MethodPost, g.url("app", "/.vilogate/logout"), "", "Origin: "+g.url("app", ""))
						if err != nil {
							t.Error(err)
						}
						told[i] = got.status
						return
					}
				}
			})
		}
		eventually(t, "tokens are replaced", func() bool { return seen.count() >= begun+leaving })
		nobodySuspected(t, f.idp)
		f.idp.kill()
		f.idp.start()
		group.Wait()
		for i, c := range all[:leaving] {
			for status := told[i]; status != http.StatusNoContent; status = c.logout("app").status {
				if status != http.StatusServiceUnavailable {
					t.Fatalf("sign-out: %d", status)
				}
			}
			gone = append(gone, leavers[i])
			if sso := c.sso(); sso != "" { // it came after the answer to the sign-out
				gone = append(gone, left{sso, leavers[i].session})
			}
		}
		all = all[leaving:]
	}
	for _, c := range all {
		c.isIn(t, g)
	}
	for _, who := range gone {
		isOut(t, g, who.sso, who.session)
	}
	nobodySuspected(t, f.idp)
}

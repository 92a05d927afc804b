package main_test

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
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

// goOn asks for a page until it comes. 503, or no answer on a busy machine, says to try again; a browser that is told anything
// else is not signed in.
func (c *client) goOn(s *site) (err error) {
	tick, end := time.NewTicker(250*time.Millisecond), time.Now().Add(waitTimeout)
	defer tick.Stop()
	for ; time.Now().Before(end); <-tick.C {
		var got answer
		switch got, err = c.try(http.MethodGet, s.url("app", "/page"), ""); {
		case err != nil:
		case got.status == http.StatusOK:
			return nil
		case got.status != http.StatusServiceUnavailable:
			return fmt.Errorf("somebody who is signed in: %v", got)
		}
	}
	return fmt.Errorf("tried without end: %w", cmp.Or(err, errors.New("503")))
}

// isIn fails unless a signed-in browser's requests go on, and its navigations end where they were to.
func (c *client) isIn(t *testing.T, s *site) {
	t.Helper()
	if err := c.goOn(s); err != nil {
		t.Fatal(err)
	}
	var at string
	page := again(t, func() (page answer) {
		at, page = c.follow(s.url("app", "/page?navigation"))
		return page
	})
	if page.status != http.StatusOK || at != s.url("app", "/page?navigation") {
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
	got = again(t, func() answer {
		return s.client().open(back, "Cookie: "+sessionCookie+"="+session+"; "+ssoCookie+"="+sso)
	})
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
	const browsers, kills, leaving = 24, 3, 4 // of which so many sign out at each
	f := newFleet(t, "", "", "access_token_ttl: 2s")
	g := f.gateway()
	seen := newSuccessors(t)
	all := make([]*client, browsers)
	for i := range all {
		all[i] = seen.watch(g.client().login("alice"))
		all[i].isIn(t, g) // the handshakes one after another
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
				// An answer goes out without a successor where the IdP, which has been killed before, gave none in time.
				for n := 0; n < 2 || seen.count() < begun+leaving && t.Context().Err() == nil; n++ {
					if err := c.goOn(g); err != nil {
						t.Errorf("browser %d: %v", i, err)
						return
					}
				}
				if i < leaving {
					got, err := c.try(http.MethodPost, g.url("app", "/.vilogate/logout"), "", "Origin: "+g.url("app", ""))
					told[i] = got.status
					if err != nil {
						told[i] = http.StatusServiceUnavailable
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
			if told[i] == http.StatusServiceUnavailable {
				told[i] = c.logout("app").status
			}
			if told[i] != http.StatusNoContent {
				t.Fatalf("sign-out: %d", told[i])
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

package main_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ask sends an SSO cookie to a host and returns the status.
func (s *site) ask(tb testing.TB, host, sso string) int {
	tb.Helper()
	return s.http2(tb, request{host: s.authority(host), target: "/x", header: []string{cookieLine(sso)}}).status
}

// TestLogoutEndsTheSessionEverywhere: after one sign-out every later request is refused, on every host, with the token
// that was good a moment ago; other sessions of the same user go on.
func TestLogoutEndsTheSessionEverywhere(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	hosts := []string{"app", "other"}
	for _, where := range hosts {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			c, elsewhere := s.client().login("alice"), s.client().login("alice")
			sso, session := c.sso(), c.cookie("login", sessionCookie)
			for _, host := range hosts {
				if got := s.ask(t, host, sso); got != http.StatusOK {
					t.Fatalf("%s before: %d", host, got)
				}
			}
			got := c.logout(where)
			if got.status != http.StatusNoContent || c.sso() != "" {
				t.Fatalf("logout: %v, and the cookie is %q", got, c.sso())
			}
			for _, host := range hosts {
				if got := s.ask(t, host, sso); got != http.StatusUnauthorized {
					t.Errorf("%s after logout: %d", host, got)
				}
				if got := s.ask(t, host, elsewhere.sso()); got != http.StatusOK {
					t.Errorf("%s, another session: %d", host, got)
				}
			}
			stale := "Cookie: " + sessionCookie + "=" + session
			if got := s.client().open(s.url("login", "/login?redirect_uri="+url.QueryEscape(s.url("app", "/x"))), stale); got.status != http.StatusOK {
				t.Errorf("the login host's session after logout: %v", got)
			}
			if got := s.client().open(s.url("login", "/account"), stale); got.status == http.StatusOK {
				t.Errorf("the account page after logout: %v", got)
			}
		})
	}
}

// TestLogoutByForm: a page without JavaScript signs out, and lands where it says so.
func TestLogoutByForm(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	form := []string{"Origin: https://app.viloforge.test", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Content-Type: application/x-www-form-urlencoded"}
	c := s.client().login("alice")
	sso := c.sso()
	got := c.do(http.MethodPost, s.url("app", "/.vilogate/logout"), "", form...)
	if got.status != http.StatusSeeOther || got.header.Get("Location") != s.url("login", "/logout?done") {
		t.Fatalf("got %v, want 303 to the login host", got)
	}
	clearsSSO(t, got)
	if page := c.open(s.url("login", "/logout?done")); page.status != http.StatusOK {
		t.Errorf("the page after it: %v", page)
	}
	if got := s.ask(t, "app", sso); got != http.StatusUnauthorized {
		t.Errorf("after logout: %d", got)
	}
	stranger := s.client()
	if got := stranger.do(http.MethodPost, s.url("app", "/.vilogate/logout"), "", form...); got.status != http.StatusSeeOther || got.header.Get("Location") != s.url("login", "/logout") {
		t.Errorf("nobody, by a form: %v", got)
	}
	got = stranger.logout("app")
	if got.status != http.StatusUnauthorized || got.problem(t).LogoutURL != s.url("login", "/logout") {
		t.Errorf("nobody, by fetch: %v", got)
	}
}

// clearsSSO asserts that the SSO cookie of the domain is cleared.
func clearsSSO(t *testing.T, got answer) {
	t.Helper()
	for _, line := range got.header.Values("Set-Cookie") {
		if cookie, err := http.ParseSetCookie(line); err == nil && cookie.Name == ssoCookie && cookie.MaxAge < 0 && cookie.Domain != "" {
			return
		}
	}
	t.Errorf("Set-Cookie %q does not clear the SSO cookie", got.header.Values("Set-Cookie"))
}

// TestLogoutAtTheLoginHost: the IdP's own form ends the session as the gateways' does.
func TestLogoutAtTheLoginHost(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	c := s.client().login("alice")
	sso := c.sso()
	at := s.url("login", "/logout")
	if got := s.ask(t, "app", sso); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	page := c.open(at)
	if got := s.ask(t, "app", sso); got != http.StatusOK {
		t.Errorf("GET alone signs nobody out, yet: %d", got)
	}
	got := c.submit(formIn(t, at, page.body, ""))
	if got.status != http.StatusSeeOther && got.status != http.StatusOK {
		t.Fatalf("logout: %v", got)
	}
	if got := s.ask(t, "app", sso); got != http.StatusUnauthorized {
		t.Errorf("after: %d", got)
	}
}

// TestAnExpiredTokenStillSignsOut: the cookie outlives its token so that it can name the session to end.
func TestAnExpiredTokenStillSignsOut(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1s")
	c := s.client().login("alice")
	old, session := c.sso(), c.cookie("login", sessionCookie)
	expire(t, old)
	got := s.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(old), "Origin: https://" + appHost}})
	if got.status != http.StatusNoContent {
		t.Fatalf("logout with the expired token: %v", got)
	}
	if got := s.ask(t, "app", old); got != http.StatusUnauthorized {
		t.Errorf("the token after logout: %d", got)
	}
	if got := s.client().open(s.url("login", "/login"), "Cookie: "+sessionCookie+"="+session); got.status != http.StatusOK {
		t.Errorf("the login host after logout: %v", got)
	}
}

// TestRevocationsOutliveTheProcess: what was acknowledged is refused after a restart, after kill -9 too.
func TestRevocationsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	first, second, third := s.client().login("alice"), s.client().login("alice"), s.client().login("alice")
	tokens := []string{first.sso(), second.sso(), third.sso()}
	if got := first.logout("app"); got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	if err := s.terminate(syscall.SIGTERM); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	s.start()
	if got := second.fresh().do(http.MethodPost, s.url("app", "/.vilogate/logout"), "", cookieLine(tokens[1]), "Origin: https://app.viloforge.test"); got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	s.kill()
	s.start()
	for i, want := range []int{http.StatusUnauthorized, http.StatusUnauthorized, http.StatusOK} {
		if got := s.ask(t, "app", tokens[i]); got != want {
			t.Errorf("token %d: %d, want %d", i, got, want)
		}
	}
}

// loginLoad is concurrent logins and logouts, and what was acknowledged of each. The first to leave waits for the first to
// be in, so that whoever kills a server after a few answers cuts off both.
type loginLoad struct {
	t             *testing.T
	people        sync.WaitGroup
	acknowledged  chan struct{} // one for each answer
	entered       chan struct{} // closed when the first is in
	once          sync.Once
	mu            sync.Mutex
	out, sessions []string // guarded by mu: SSO cookies of who left, session cookies of who came
}

// startLoginLoad has everybody leave at one site, and as many come at the other, all as alice.
func startLoginLoad(t *testing.T, leaveAt, comeAt *site, count int) *loginLoad {
	t.Helper()
	c := &loginLoad{t: t, acknowledged: make(chan struct{}, 2*count), entered: make(chan struct{})}
	leaving := make([]*client, count)
	for i := range leaving {
		leaving[i] = leaveAt.client().login("alice")
	}
	for _, leaver := range leaving {
		newcomer, at := comeAt.client(), comeAt.url("login", "/login")
		f := formIn(t, at, newcomer.open(at).body, "password")
		f.fields.Set("username", "alice")
		f.fields.Set("password", passwordOf("alice"))
		c.people.Go(func() {
			got, err := newcomer.try(http.MethodPost, f.action, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded", "Origin: https://login.viloforge.test")
			if err == nil && got.status == http.StatusSeeOther {
				c.record(&c.sessions, newcomer.cookie("login", sessionCookie))
				c.once.Do(func() { close(c.entered) })
			}
		})
		c.people.Go(func() {
			<-c.entered
			sso := leaver.sso()
			got, err := leaver.try(http.MethodPost, leaveAt.url("app", "/.vilogate/logout"), "", "Origin: https://app.viloforge.test")
			if err == nil && got.status == http.StatusNoContent {
				c.record(&c.out, sso)
			}
		})
	}
	return c
}

func (c *loginLoad) record(list *[]string, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*list = append(*list, value)
	c.acknowledged <- struct{}{}
}

// killAfter waits for so many answers, ends the servers at once, and waits until nobody is on the way any more.
func (c *loginLoad) killAfter(answers int, servers ...*site) {
	c.t.Helper()
	for range answers {
		select {
		case <-c.acknowledged:
		case <-time.After(waitTimeout):
			c.t.Fatal("nobody gets in or out")
		}
	}
	for _, s := range servers {
		s.kill()
	}
	c.people.Wait()
	c.t.Logf("%d signed in and %d signed out before the kill", len(c.sessions), len(c.out))
}

// assertDurable asserts that everything acknowledged holds at a site.
func (c *loginLoad) assertDurable(s *site) {
	c.t.Helper()
	for _, sso := range c.out {
		within(c.t, unhelped, "a sign-out that was acknowledged holds", func() bool { return s.ask(c.t, "app", sso) == http.StatusUnauthorized })
	}
	for _, session := range c.sessions {
		if got := s.client().open(s.url("login", "/account"), "Cookie: "+sessionCookie+"="+session); got.status != http.StatusOK {
			c.t.Errorf("a login that was acknowledged is lost: %v", got)
		}
	}
}

// TestKilledInTheMiddle: the process is killed while people sign in and out. Whatever was acknowledged to anybody holds
// afterwards: who was told "signed out" is, and who was signed in still is.
func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "login_limits: { per_account: 1000/m, per_address: 1000/m }")
	for round := range 3 {
		c := startLoginLoad(t, s, s, 8)
		c.killAfter(2+3*round, s)
		s.start()
		c.assertDurable(s)
	}
}

// TestDatabaseCutShort: with the database or its write-ahead log cut short, the server either starts on a consistent
// earlier state or refuses and names the path and the reason.
func TestDatabaseCutShort(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	early := s.client().login("alice")
	revoked := early.sso()
	if got := early.logout("app"); got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	s.client().login("alice")
	s.kill()
	var files []string
	err := filepath.WalkDir(s.state, func(path string, entry fs.DirEntry, err error) error {
		if name := entry.Name(); err == nil && strings.Contains(name, ".db") && !strings.HasSuffix(name, "-shm") {
			files = append(files, name)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("databases in %s: %v %v", s.state, files, err)
	}
	for _, name := range files {
		for _, keep := range []float64{0, 0.3, 0.6, 0.99} {
			t.Run(fmt.Sprintf("%s/%v", name, keep), func(t *testing.T) {
				t.Parallel()
				cut := prepare(t, nil)
				copyTree(t, s.dir, cut.dir)
				path := filepath.Join(cut.state, name)
				info, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(path, int64(float64(info.Size())*keep)); err != nil {
					t.Fatal(err)
				}
				cut.spawn()
				select {
				case <-cut.output.ready:
					cut.readAddresses()
					cut.assertConsistent(t, name, keep, revoked)
				case <-cut.ended:
					if said := cut.output.String(); cut.err == nil || !strings.Contains(said, filepath.Join(cut.state, "vilogate.db")) {
						t.Errorf("refused with %v without naming the database:\n%s", cut.err, said)
					}
				case <-time.After(waitTimeout):
					t.Error("neither started nor refused")
				}
			})
		}
	}
}

// assertConsistent holds a server that started on a shortened database to what an earlier state is: its users are there and
// what was signed out is, or the loss was said.
func (s *site) assertConsistent(t *testing.T, name string, keep float64, revoked string) {
	t.Helper()
	users := s.must("", "user", "list", "--json", "--state", s.state)
	said := s.output.String()
	if !strings.Contains(users, `"alice"`) && !strings.Contains(said, name) {
		t.Errorf("%s cut to %v: the users are gone, and nothing was said:\n%s\n%s", name, keep, users, said)
	}
	if got := s.ask(t, "app", revoked); got != http.StatusUnauthorized {
		t.Errorf("%s cut to %v: a sign-out that was acknowledged is undone: %d\n%s", name, keep, got, said)
	}
}

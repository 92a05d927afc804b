package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// confirmed has Redis say that it holds all revocations, as an identity provider does; for tests that are that themselves.
// Without it gateways wait for one when they start.
func confirmed(s *redistest.Server) *redistest.Server {
	_, run, _ := strings.Cut(fmt.Sprint(s.Do("INFO", "server")), "run_id:")
	s.Do("SET", "vilogate:{fleet}:revocation:restored", run[:40])
	return s
}

// startAgain kills gateways, the IdP and Redis, which saves nothing, and starts them again, each gateway without waiting for it.
func (f *fleet) startAgain(gateways ...*site) {
	f.t.Helper()
	for _, s := range append(gateways, f.idp) {
		s.kill()
	}
	f.redis.Kill()
	f.redis.Start()
	if n := f.redis.Number("DBSIZE"); n != 0 {
		f.t.Fatalf("Redis has kept %d keys", n)
	}
	for _, s := range gateways {
		s.spawn()
	}
	f.idp.start()
}

const (
	// unconfirmed is what a gateway logs where the IdP is late, without which it is ready then.
	unconfirmed = "has not confirmed that Redis holds all revocations"
	// inTime is what a start of gateways is repeated for.
	inTime = "no gateway that starts goes on without the IdP"
)

// TestASignOutOutlivesTheWholeFleet: Redis, which saves nothing, the gateways and the IdP are killed and start again. What
// was signed out is refused by each gateway from its first ready answer on, and by the login host; and so it is where Redis
// alone loses everything, at gateways that run and at one that starts.
func TestASignOutOutlivesTheWholeFleet(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "")
	one, two := f.gateway(), f.gateway()
	c, last, lives := one.client().login("alice"), one.client().login("alice"), one.client().login("alice")
	sso, session := c.sso(), c.cookie("login", sessionCookie)
	signOut := func(c *client) {
		t.Helper()
		session := c.cookie("login", sessionCookie)
		if got := c.logout("app"); got.status != http.StatusNoContent {
			t.Fatalf("logout: %v", got)
		}
		within(t, unhelped, "the IdP has heard of it", func() bool {
			return one.client().open(one.url("login", "/account"), "Cookie: "+sessionCookie+"="+session).status != http.StatusOK
		})
	}
	signOut(c)
	signOut(last) // the IdP writes down one after another: the first is in its database now
	check := func(what string, s *site) (confirmed bool) {
		t.Helper()
		if strings.Contains(s.output.String(), unconfirmed) {
			s.kill()
			return false
		}
		if got := s.ask(t, "app", sso); got != http.StatusUnauthorized {
			t.Errorf("%s, signed out: %d", what, got)
		}
		if got := s.ask(t, "app", lives.sso()); got != http.StatusOK {
			t.Errorf("%s, another session: %d", what, got)
		}
		back := s.url("login", "/login?redirect_uri="+url.QueryEscape(s.url("app", "/x")))
		if got := s.client().open(back, "Cookie: "+sessionCookie+"="+session); got.status != http.StatusOK || !strings.Contains(got.body, "password") {
			t.Errorf("%s, the login host with the session that was signed out: %v", what, got)
		}
		return true
	}
	for range 2 {
		eventually(t, inTime, func() bool {
			f.startAgain(one, two)
			for name, s := range map[string]*site{"the first gateway": one, "the second gateway": two} {
				eventually(t, name+" is ready", s.saidReady)
				s.readAddresses()
				if !check(name, s) {
					return false
				}
				if got := s.admin(t, "/readyz"); got.status != http.StatusOK || strings.Contains(got.body, "revocations_restored") {
					t.Errorf("%s: %v", name, got)
				}
			}
			return true
		})
	}
	var three *site
	eventually(t, inTime, func() bool {
		f.redis.Do("FLUSHALL")
		three = f.gateway()
		return check("a gateway that started after a flush", three)
	})
	check("a gateway that ran", one)
	one.kill()
	two.kill()
	three.kill() // only the IdP remembers
	eventually(t, inTime, func() bool {
		f.redis.Do("FLUSHALL")
		within(t, unhelped, "the IdP has put back what Redis lost, and said so", func() bool {
			return f.redis.Number("EXISTS", "vilogate:{fleet}:revocation:restored") == 1 && f.redis.Number("EXISTS", "vilogate:{fleet}:revocation:index") == 1
		})
		return check("a gateway of the next day", f.gateway())
	})
}

// TestAGatewayWhoseIdPRestoresNothing: one of an older version does not say that it put back what Redis lost. The gateway is
// ready all the same, ten seconds later, and says what it does not know.
func TestAGatewayWhoseIdPRestoresNothing(t *testing.T) {
	t.Parallel()
	own := newSigner(t)
	f := newFleet(t, publishKeys(t, own).URL, "")
	f.redis.Do("FLUSHALL")
	s := f.gateway()
	if got := s.admin(t, "/readyz"); got.status != http.StatusOK || !strings.Contains(got.body, "revocations_restored") {
		t.Errorf("readyz: %v", got)
	}
	if got := s.admin(t, "/metrics").body; !strings.Contains(got, `vilogate_ready{part="revocations_restored"} 0`) {
		t.Error("the metric does not say so")
	}
	if got := s.ask(t, "app", own.sign(own.header(nil), good("alice", nil).json())); got != http.StatusOK {
		t.Errorf("somebody signed in: %d", got)
	}
	if !strings.Contains(s.output.String(), unconfirmed) {
		t.Error("the log does not say so")
	}
}

// stopped runs f while the site's process is ended.
func (s *site) stopped(t *testing.T, f func()) {
	t.Helper()
	if err := s.terminate(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	f()
	s.start()
}

// copyDatabase copies an identity provider's database as its README says of backups: with the log, without the mark.
func copyDatabase(t *testing.T, from, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal", "-mark"} {
		if err := os.RemoveAll(filepath.Join(to, "vilogate.db"+suffix)); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(from, "vilogate.db"+suffix))
		if os.IsNotExist(err) || suffix == "-mark" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		writeFiles(t, to, map[string]string{"vilogate.db" + suffix: string(data)})
	}
}

// TestAnOlderDatabaseUnderLiveBrowsers: the IdP's database is put back from a backup that knows only earlier tokens, and later
// Redis loses everything and all processes start again. Who was signed in goes on without a login form, who signed out
// after the backup stays out, and no token has two successors. A login that the backup does not know is done again, once.
func TestAnOlderDatabaseUnderLiveBrowsers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "", "access_token_ttl: 2s")
	one, two := f.gateway(), f.gateway()
	seen := newSuccessors(t)
	busy, idle := seen.watch(one.client().login("alice")), seen.watch(two.client().login("alice"))
	leaver := seen.watch(one.client().login("alice"))
	backup := t.TempDir()
	f.idp.stopped(t, func() { copyDatabase(t, f.idp.state, backup) })
	for range 2 {
		expire(t, leaver.sso())
		busy.isIn(t, one)
		leaver.isIn(t, one)
	}
	late := seen.watch(two.client().login("alice"))
	expire(t, leaver.sso())
	sso, session := leaver.sso(), leaver.cookie("login", sessionCookie)
	if got := leaver.logout("app"); got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	f.idp.stopped(t, func() { copyDatabase(t, backup, f.idp.state) })

	expire(t, busy.sso())
	expire(t, late.sso())
	check := func() {
		t.Helper()
		busy.isIn(t, one)
		idle.isIn(t, two)
		isOut(t, one, sso, session)
		isOut(t, two, sso, session)
		nobodySuspected(t, f.idp)
	}
	check()
	if !strings.Contains(f.idp.output.String(), "session_behind") {
		t.Error("the log does not say that the database knew only earlier tokens")
	}
	if at, page := late.follow(two.url("app", "/page")); page.status != http.StatusOK || !strings.HasPrefix(at, two.url("login", "/login?")) {
		t.Errorf("a session that the backup does not know ends at %s: %v", at, page)
	}
	late.login("alice").isIn(t, two)

	eventually(t, inTime, func() bool {
		f.startAgain(one, two)
		for _, s := range []*site{one, two} {
			eventually(t, "the gateway is ready", s.saidReady)
			s.readAddresses()
		}
		return !strings.Contains(one.output.String()+two.output.String(), unconfirmed)
	})
	expire(t, busy.sso())
	expire(t, idle.sso())
	check()
	late.isIn(t, two)
}

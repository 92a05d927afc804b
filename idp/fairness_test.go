package idp

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/idp/internal/password"
	"github.com/viloforge/vilogate/idp/token"
)

func TestSuccessesHaveALimitOfTheirOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.LoginLimits.Successes = gcra.Rate{Events: 3, Per: time.Minute} })
	w.add("bob")
	known := w.client().login("alice")
	for range 2 {
		w.client().login("alice")
	}
	for name, c := range map[string]*client{"a stranger": w.client(), "a known browser": known} {
		got := c.try("/login?prompt=login", "alice", secret)
		if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "20" || len(got.setCookies(t)) > 1 {
			t.Errorf("%s: %d, Retry-After %q, cookies %q", name, got.status, got.header.Get("Retry-After"), got.header.Values("Set-Cookie"))
		}
		c.outcome("who does not know the password is told nothing of it", "alice", "wrong", http.StatusUnauthorized)
	}
	w.client().outcome("somebody else at the same address", "bob", secret, http.StatusSeeOther)
	w.clock.advance(20 * time.Second)
	w.client().outcome("later", "alice", secret, http.StatusSeeOther)
}

func TestAReplacedSessionIsRevokedNoLongerThanItsTokensLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.AccessTTL = time.Hour })
	c := w.client().login("alice")
	before := w.claims(c.cookie(ssoCookie))
	// The tokens of later are shorter, which does not shorten those that are out.
	o := options(w.db, w.list, w.clock, w.log)
	o.AccessTTL = time.Minute
	var err error
	if w.idp, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = w.idp
	replaced := func() time.Duration {
		c.outcome("another login", "alice", secret, http.StatusSeeOther)
		return w.list.entries[len(w.list.entries)-1].Expires.Sub(w.clock.now())
	}
	if lasts := replaced(); !w.list.revoked(before) || lasts < time.Hour || lasts > time.Hour+5*time.Minute {
		t.Errorf("revoked for %v (%t), want a little more than the token's hour", lasts, w.list.revoked(before))
	}
	if lasts := replaced(); lasts < time.Minute || lasts > 5*time.Minute {
		t.Errorf("the next one: revoked for %v, want a little more than the token's minute", lasts)
	}
	// A token that was dated past a cutoff lasts longer.
	cutoff := w.clock.now().Add(10 * time.Minute)
	w.list.set(func(l *list) { l.moments[w.alice.ID] = cutoff })
	if lasts := replaced(); lasts < 11*time.Minute || lasts > 15*time.Minute {
		t.Errorf("past a cutoff: revoked for %v", lasts)
	}
	// Of a session from before the column nothing is known.
	if _, err := w.db.SQL().ExecContext(t.Context(), "UPDATE sessions SET token_ttl = ?", int(token.LongestSession/time.Second)); err != nil {
		t.Fatal(err)
	}
	if lasts := replaced(); lasts < 29*24*time.Hour || lasts > 31*24*time.Hour {
		t.Errorf("an older session: revoked for %v, want to its end", lasts)
	}
	// What somebody asked for is for the whole session.
	if got := c.submit(c.get("/logout").form(t)); got.status != http.StatusSeeOther {
		t.Fatalf("sign-out: %d", got.status)
	}
	if lasts := w.list.entries[len(w.list.entries)-1].Expires.Sub(w.clock.now()); lasts < 29*24*time.Hour {
		t.Errorf("a sign-out: revoked for %v", lasts)
	}
}

func TestAnEvictedSessionIsRevokedNoLongerThanItsTokensLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.idp.directory.findAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for range maxSessions + 1 {
		if _, err := w.idp.directory.createSession(t.Context(), sessionParams{account: a, max: 30 * 24 * time.Hour, tokenTTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	if len(w.list.entries) != 1 {
		t.Fatalf("%d revocations", len(w.list.entries))
	}
	if lasts := w.list.entries[0].Expires.Sub(w.clock.now()); lasts < time.Hour || lasts > time.Hour+5*time.Minute {
		t.Errorf("revoked for %v", lasts)
	}
}

func TestAttemptsInFlightAreBoundedByNetworkAndNeverByAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known := w.client().login("alice")
	here := password.Client{Network: "127.0.0.1/32", Supernet: "127.0.0.0/24"}
	var leave []func()
	for {
		left, ok := w.idp.inFlight.enter(here)
		if !ok {
			break
		}
		leave = append(leave, left)
	}
	// Refused before anything is counted or hashed, whoever is named, and without a word about whom.
	for range 30 {
		for _, user := range []string{"alice", "nobody"} {
			got := w.client().try("/login", user, "wrong")
			if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "2" {
				t.Fatalf("%s: %d, Retry-After %q", user, got.status, got.header.Get("Retry-After"))
			}
		}
	}
	known.outcome("a known browser at the same address", "alice", secret, http.StatusSeeOther)
	if _, ok := w.idp.inFlight.enter(password.Client{Network: "127.0.0.2/32"}); !ok {
		t.Error("another address has no place")
	}
	for _, left := range leave {
		left()
	}
	w.client().outcome("afterwards", "alice", secret, http.StatusSeeOther)
	if n := len(w.idp.inFlight.attempts); n != 1 {
		t.Errorf("%d networks are in flight", n)
	}
}

func TestAKnownBrowserWithoutAPlaceAmongItsOwnWaitsWithStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	known := w.client().login("alice")
	pool, err := password.NewPool(w.idp.o.PasswordCost, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	w.idp.passwords = pool
	others := password.Client{Network: "another", Supernet: "another", Known: true}
	var crowd sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer crowd.Wait()
	defer cancel()
	for range 2 {
		crowd.Go(func() {
			for ctx.Err() == nil {
				_, _ = pool.Check(ctx, others, "", "x")
			}
		})
	}
	for range 20 {
		known.outcome("where the lane of known browsers is full", "alice", secret, http.StatusSeeOther)
	}
}

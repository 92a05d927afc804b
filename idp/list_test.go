package idp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
)

// startReal starts an identity provider on the real list, which is kept in its own database.
func startReal(t *testing.T, path string) (w *world, list *revocation.List, stop func()) {
	t.Helper()
	w = &world{tb: t, clock: newClock(), log: &lines{}}
	log := slog.New(slog.DiscardHandler)
	var err error
	if w.db, err = database.Open(t.Context(), path, database.Options{Log: log}); err != nil {
		t.Fatal(err)
	}
	kept, err := revocation.OpenSQL(w.db.SQL())
	if err != nil {
		t.Fatal(err)
	}
	list = revocation.NewList(kept, revocation.Options{MaxStaleness: time.Minute, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- list.Run(ctx) }()
	for !list.Ready() {
		select {
		case err := <-ended:
			t.Fatalf("the list ended: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	o := options(w.db, nil, w.clock, w.log)
	o.Revocations = list
	if w.idp, err = New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	w.admin = w.idp.Admin()
	w.serve()
	return w, list, func() {
		w.server.Close()
		cancel()
		if err := errors.Join(<-ended, w.db.Close()); err != nil {
			t.Error(err)
		}
	}
}

// untilRecorded submits again while it could not be recorded: the disk of a busy machine may be later than that is waited for.
func untilRecorded(submit func() answer) (got answer) {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if got = submit(); got.status != http.StatusServiceUnavailable {
			break
		}
	}
	return got
}

func TestWhatWasEndedStaysEndedAfterAStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vilogate.db")
	w, list, stop := startReal(t, path)
	w.add("alice", "member")
	w.add("bob")
	c, bob := w.client().login("alice"), w.client().login("bob")
	claims, hers, session := w.claims(c.cookie(ssoCookie)), w.claims(bob.cookie(ssoCookie)), c.cookie(sessionCookie)
	if got := untilRecorded(func() answer { return c.submit(c.get("/logout").form(t, csrfField)) }); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	if done := c.get("/logout?done"); !strings.Contains(done.body, "You are signed out") {
		t.Errorf("%s", done.body)
	}
	if got := untilRecorded(func() answer { return bob.changePassword(secret, next, next) }); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	now := w.claims(bob.cookie(ssoCookie))
	for range 2 {
		if !list.SessionRevoked(token.OwnIssuer, claims.Session()) {
			t.Error("the session that was signed out lives")
		}
		revoked := func(c *token.Claims) bool {
			return list.Revoked(c.IssuerName(), c.ID(), c.Session(), c.Subject(), c.IssuedAt())
		}
		if !revoked(claims) || !revoked(hers) || revoked(now) {
			t.Errorf("revoked: signed out %t, before the change %t, after it %t", revoked(claims), revoked(hers), revoked(now))
		}
		if got := w.client().get("/account", "Cookie: "+sessionCookie+"="+session); got.status != http.StatusFound {
			t.Errorf("the session cookie opens the account: %d", got.status)
		}
		stop()
		w, list, stop = startReal(t, path)
	}
	stop()
}

package idp

import (
	"context"
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

// TestWhatWasEndedStaysEndedAfterAStart runs on the real list, kept in the identity provider's own database.
func TestWhatWasEndedStaysEndedAfterAStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vilogate.db")
	start := func() (w *world, list *revocation.List, stop func()) {
		w = &world{tb: t, clock: &clock{}, log: &lines{}}
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
		return w, list, func() {
			w.server.Close()
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := w.db.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	w, list, stop := start()
	w.serve()
	w.add("alice", "member")
	w.add("bob")
	c, bob := w.client().login("alice"), w.client().login("bob")
	claims, hers, session := w.claims(c.cookie(ssoCookie)), w.claims(bob.cookie(ssoCookie)), c.cookie(sessionCookie)
	if got := c.submit(c.get("/logout").form(t, formField)); got.status != http.StatusSeeOther {
		t.Fatalf("%d\n%s", got.status, got.body)
	}
	if done := c.get("/logout?done"); !strings.Contains(done.body, "You are signed out") {
		t.Errorf("%s", done.body)
	}
	if got := bob.changePassword(secret, next, next); got.status != http.StatusSeeOther {
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
		w, list, stop = start()
		w.serve()
	}
	stop()
}

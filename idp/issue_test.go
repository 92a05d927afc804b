package idp

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

func TestNothingIsIssuedUpToTheMomentThatWasRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client().login("alice")
	// In this very second, as a gateway or an administrator would; and in one that a clock ahead of ours made, which is
	// not waited for.
	for name, ahead := range map[string]time.Duration{"now": 0, "a little ahead": time.Second, "far ahead": time.Hour} {
		moment := w.clock.now().Truncate(time.Second).Add(ahead)
		w.list.set(func(l *list) { l.moments[w.alice.ID] = moment })
		if got := c.get("/login"); got.status != http.StatusSeeOther {
			t.Fatalf("%s: %d", name, got.status)
		}
		raw := c.cookie(ssoCookie)
		if ahead > time.Second {
			w.clock.advance(ahead) // only then does it count
		}
		claims := w.claims(raw)
		if !claims.IssuedAt().After(moment) || w.list.revoked(claims) {
			t.Errorf("%s: issued at %v, revoked up to %v", name, claims.IssuedAt(), moment)
		}
	}
}

func TestATokenThatWasDatedAheadIsEndedToo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ahead := w.clock.now().Truncate(time.Second).Add(time.Hour)
	w.list.set(func(l *list) { l.moments[w.alice.ID] = ahead })
	raw := w.client().login("alice").cookie(ssoCookie)
	if err := w.admin.SetRoles(t.Context(), "alice", []string{"x"}); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Hour)
	if claims := w.claims(raw); !w.list.revoked(claims) {
		t.Errorf("a token of %v outlived the end of all tokens", claims.IssuedAt())
	}
}

// TestNoSessionIsIssuedATokenPastItsEnd holds the publication of an end open while the session asks for a token.
func TestNoSessionIsIssuedATokenPastItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, thief := w.client().login("alice"), w.client().login("alice")
	inside, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.list.publishing = func() {
		once.Do(func() { close(inside); <-leave })
	}
	ended := make(chan answer, 1)
	go func() { ended <- c.submit(c.get("/account").form(t, "do=everywhere")) }()
	<-inside
	asked := make(chan answer, 1)
	go func() { asked <- thief.get("/login") }()
	select {
	case got := <-asked:
		t.Fatalf("a token was issued while the end was under way: %d", got.status)
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	if got := <-ended; got.status != http.StatusSeeOther {
		t.Fatalf("the end: %d", got.status)
	}
	if got := <-asked; got.status != http.StatusOK {
		t.Errorf("the session that was ended: %d", got.status)
	}
}

// TestALoginWithThePasswordThatIsJustChangedIsNone lets the password change between its check and the session.
func TestALoginWithThePasswordThatIsJustChangedIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, err := w.idp.directory.findAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name   string
		change func() error
	}{
		{"changed", func() error { return w.admin.SetPassword(t.Context(), "alice", next) }},
		{"disabled", func() error { return w.admin.Disable(t.Context(), "alice") }},
		{"deleted", func() error { return w.admin.Delete(t.Context(), "alice") }},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		_, err := w.idp.directory.createSession(t.Context(), sessionParams{account: a, amr: []string{amrPassword}, max: time.Hour})
		if err == nil || !strings.Contains(err.Error(), errChanged.Error()) {
			t.Errorf("%s: %v, want errChanged", step.name, err)
		}
	}
}

func TestManyAtOnceGetTokensThatCount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secrets := make(chan string, 16)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { secrets <- w.client().login("alice").cookie(sessionCookie) })
	}
	group.Wait()
	close(secrets)
	for cookie := range secrets {
		secret, ok := parseSessionSecret(cookie)
		if !ok {
			t.Fatalf("cookie %q", cookie)
		}
		group.Go(func() {
			for range 5 {
				ended, _ := w.list.SubjectCutoff(token.OwnIssuer, w.alice.ID) // and more may end meanwhile
				answer, err := w.idp.issuer.issue(context.Background(), secret, visit{})
				if err != nil {
					t.Errorf("%v", err)
				} else if issued := w.claims(answer.token).IssuedAt(); !issued.After(ended) {
					t.Errorf("a token of %v, when everything up to %v had ended", issued, ended)
				}
			}
		})
	}
	for range 3 {
		group.Go(func() {
			if err := w.admin.SetRoles(context.Background(), "alice", []string{"x"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

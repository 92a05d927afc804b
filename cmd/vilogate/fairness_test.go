package main_test

import (
	"crypto/tls"
	"net/http"
	"testing"
)

// lockOut has a stranger use up what strangers may fail at an account.
func (c *client) lockOut(user string) {
	c.tb.Helper()
	for range 10 {
		if got := c.attempt(user, "wrong"); got.status != http.StatusUnauthorized {
			c.tb.Fatalf("a stranger's wrong password: got %v, want 401", got)
		}
	}
	if got := c.attempt(user, "wrong"); got.status != http.StatusTooManyRequests {
		c.tb.Fatalf("one too many: got %v, want 429", got)
	}
}

// TestStrangersKeepNoOwnerOut: a stranger's wrong passwords slow strangers down, and not the owner of the account in a browser
// that signed in before; an administrator resets them.
func TestStrangersKeepNoOwnerOut(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "")
	for _, p := range []string{"http/1.1", "h2"} {
		t.Run(p, func(t *testing.T) {
			browser := newClient(t, s, &tls.Config{RootCAs: s.roots, NextProtos: []string{p}})
			owner := browser.fresh().login("alice")
			out := s.url("login", "/logout")
			if got := owner.submit(formIn(t, out, owner.open(out).body, "")); got.status != http.StatusSeeOther {
				t.Fatalf("sign-out: %v", got)
			}
			stranger := browser.fresh()
			stranger.lockOut("alice")
			if got := stranger.fresh().attempt("alice", passwordOf("alice")); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
				t.Errorf("an unknown browser: %v, want 429", got)
			}
			if got := owner.attempt("alice", passwordOf("alice")); got.status != http.StatusSeeOther {
				t.Errorf("the owner's browser: %v, want 303", got)
			}
			stranger.lockOut("alice") // a success has reset it
			s.must("", "user", "unlock", "alice", "--state", s.state)
			if got := stranger.fresh().attempt("alice", passwordOf("alice")); got.status != http.StatusSeeOther {
				t.Errorf("unlocked: %v, want 303", got)
			}
		})
	}
}

package main_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
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
	s, _ := signing(t, "login_limits: { per_account: 10/h }") // no more of them while the test runs
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

// from has the client's connections come from another address of this machine.
func (c *client) from(address string) *client {
	c.tb.Helper()
	transport, ok := c.http.Transport.(*http.Transport)
	if !ok {
		c.tb.Fatal("a client without a transport of its own")
	}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", c.site.at.HTTPS)
	}
	return c
}

// TestOneAccountStarvesNobodysLogin: the right password of one account on many connections, which no limit of failures slows
// down, takes neither another address's logins nor those of known browsers at its own.
func TestOneAccountStarvesNobodysLogin(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "login_limits: { per_account: 1000/m, per_address: 1000/m, successes: 100000/m }")
	s.addUser("bob", "member")
	known := s.client().login("bob")
	out := s.url("login", "/logout")
	if got := known.submit(formIn(t, out, known.open(out).body, "")); got.status != http.StatusSeeOther {
		t.Fatalf("sign-out: %v", got)
	}
	var stop atomic.Bool
	var logins atomic.Int64
	var crowd sync.WaitGroup
	at := s.url("login", "/login")
	for range 20 { // four more than there are places for at one address
		c := s.client()
		f := formIn(t, at, c.open(at).body, "password")
		f.fields.Set("username", "alice")
		f.fields.Set("password", passwordOf("alice"))
		crowd.Go(func() {
			for !stop.Load() {
				got, err := c.try(http.MethodPost, f.action, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded", "Origin: https://login.viloforge.test")
				if err == nil && got.status == http.StatusSeeOther {
					logins.Add(1)
				}
			}
		})
	}
	eventually(t, "the crowd signs in", func() bool { return logins.Load() > 2 })
	for range 3 {
		if got := s.client().from("127.0.0.2").attempt("bob", passwordOf("bob")); got.status != http.StatusSeeOther {
			t.Errorf("from another address: %v, want 303", got)
		}
	}
	if got := known.attempt("bob", passwordOf("bob")); got.status != http.StatusSeeOther {
		t.Errorf("a known browser at the same address: %v, want 303", got)
	}
	stop.Store(true)
	crowd.Wait()
}

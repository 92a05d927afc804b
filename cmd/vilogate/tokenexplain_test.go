package main_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokenExplainAsksTheServer: the keys of our own identity provider, and what was signed out, are with the running server.
func TestTokenExplainAsksTheServer(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	alice := s.client().login("alice").sso()
	type report struct {
		Accepted                            bool
		Failed, Reason, Issuer, Key, Server string
		Person                              struct{ User string }
	}
	explain := func() (r report) {
		t.Helper()
		out, stderr, err := s.command(alice+"\n", "token", "explain", "--json", "-c", filepath.Join(s.dir, "vilogate.yaml"))
		if err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
		for _, segment := range strings.Split(alice, ".") {
			if strings.Contains(out+stderr, segment) {
				t.Errorf("a piece of the token is printed:\n%s%s", out, stderr)
			}
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := explain(); !r.Accepted || r.Issuer != "vilogate" || r.Person.User != "alice" || r.Key == "" || r.Server != "accepted" {
		t.Errorf("a good token: %+v", r)
	}
	got := s.http1(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(alice), "Origin: https://" + appHost}})
	if got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	if r := explain(); r.Server != "revoked" {
		t.Errorf("after signing out: %+v", r)
	}
}

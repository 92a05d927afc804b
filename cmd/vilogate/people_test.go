package main_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// strangers are people as other issuers call them: what is in their tokens, and how the headers spell it.
var strangers = map[string]struct{ sub, user, id, shown string }{
	"Auth0":       {"auth0|5f7c8ec7c33c6c004bbafe82", "pat.o'brien@acme.example", "partner:auth0|5f7c8ec7c33c6c004bbafe82", "partner:pat.o'brien@acme.example"},
	"Entra":       {"AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "x_y#EXT#@acme.onmicrosoft.com", "partner:AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "partner:x_y#EXT#@acme.onmicrosoft.com"},
	"Keycloak":    {"7335d417", "jürgen", "partner:7335d417", "partner:j%C3%BCrgen"},
	"ADFS":        {"S-1-5-21", `CONTOSO\alice`, "partner:S-1-5-21", `partner:CONTOSO\alice`},
	"spaces":      {"alice liddell", "Alice Liddell", "partner:alice%20liddell", "partner:Alice%20Liddell"},
	"GitHub":      {"repo:o/r:ref:refs/heads/main", "", "partner:repo:o/r:ref:refs/heads/main", "partner:repo:o/r:ref:refs/heads/main"},
	"Kubernetes":  {"system:serviceaccount:ns:sa", "", "partner:system:serviceaccount:ns:sa", "partner:system:serviceaccount:ns:sa"},
	"SPIFFE":      {"spiffe://example.org/ns/default/sa/web", "", "partner:spiffe://example.org/ns/default/sa/web", "partner:spiffe://example.org/ns/default/sa/web"},
	"percent":     {"100%25", "", "partner:100%2525", "partner:100%2525"},
	"long":        {strings.Repeat("ü", 127), "u", "partner:" + strings.Repeat("%C3%BC", 127), "partner:u"},
	"called ours": {"id-of-alice", "alice", "partner:id-of-alice", "partner:alice"},
}

// TestPeopleOfOtherIssuersAreTheirSubjects: whatever their issuer calls them, a backend learns who it is, in headers that
// hold nothing but visible ASCII and in the assertion as it is; and they can be signed out.
func TestPeopleOfOtherIssuersAreTheirSubjects(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	for name, who := range strangers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changes := claims{"sub": who.sub, "jti": nil, "preferred_username": nil}
			user := who.sub
			if who.user != "" {
				changes["preferred_username"], user = who.user, who.user
			}
			raw := x.partnerToken(changes)
			protocols := map[string]func(testing.TB, request) answer{"HTTP/1.1": x.http1, "HTTP/2": x.http2}
			for protocol, ask := range protocols {
				t.Run(protocol, func(t *testing.T) {
					probe := x.backend.probe(t)
					if got := ask(t, request{host: appHost, target: "/x", header: []string{probe.header(), bearer(raw)}}); got.status != http.StatusOK {
						t.Fatalf("got %v", got)
					}
					seen := probe.one()
					if id, shown := seen.values("X-User-Id"), seen.values("X-User"); len(id) != 1 || id[0] != who.id || len(shown) != 1 || shown[0] != who.shown {
						t.Errorf("X-User-Id %q, X-User %q", id, shown)
					}
					if sub, called := asserted(t, seen); sub != "partner:"+who.sub || called != "partner:"+user {
						t.Errorf("the assertion is about %q, called %q", sub, called)
					}
				})
			}
			cookie := "Cookie: partner-sso=" + raw
			out := x.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookie, "Origin: https://" + appHost}})
			if out.status != http.StatusNoContent {
				t.Fatalf("logout: %v", out)
			}
			for protocol, ask := range protocols {
				if got := ask(t, request{host: appHost, target: "/x", header: []string{bearer(raw)}}); got.status != http.StatusUnauthorized {
					t.Errorf("signed out, over %s: got %v, want 401", protocol, got)
				}
			}
		})
	}
}

// asserted reads whom the assertion is about. That it verifies is other tests' business.
func asserted(t *testing.T, seen recorded) (sub, user string) {
	t.Helper()
	parts := strings.Split(seen.value("X-User-Assertion"), ".")
	if len(parts) != 3 {
		t.Fatalf("no assertion: %q", seen.head)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Subject string `json:"sub"`
		User    string `json:"preferred_username"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Subject, claims.User
}

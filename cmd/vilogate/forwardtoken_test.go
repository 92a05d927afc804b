package main_test

import (
	"crypto"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestForwardTokenForwardsTheOneThatCounted: forward_token passes on the value that said who asks, once; no other value, not
// one that was signed out, and not under a name that a server takes for the same.
func TestForwardTokenForwardsTheOneThatCounted(t *testing.T) {
	t.Parallel()
	g := newLegacySite(t)
	const host = "django.viloforge.test"
	now := time.Now()
	old := g.token(claims{"iat": now.Add(-time.Minute).Unix(), "roles": []string{"admin"}, "jti": "old"})
	if got := g.http1(t, request{method: "POST", host: host, target: "/.vilogate/logout", header: []string{"Cookie: jwt=" + old, sameOrigin}}); got.status != http.StatusNoContent {
		t.Fatalf("signing out: %v", got)
	}
	fresh := g.token(claims{"iat": now.Unix() + 1, "jti": "new"})
	noToken := hs(crypto.SHA256, g.secret, `{"alg":"HS256","typ":"JWT"}`, claims{"username": "root", "iss": "x", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}.json())
	for name, line := range map[string]string{
		"alone":           "jwt=" + fresh,
		"twice":           "jwt=" + fresh + "; jwt=" + fresh,
		"revoked-behind":  "jwt=" + fresh + "; jwt=" + old,
		"revoked-before":  "jwt=" + old + "; jwt=" + fresh,
		"quoted":          "jwt=" + fresh + `; jwt="` + old + `"; "jwt"=` + old,
		"encoded":         "jwt=" + fresh + "; %6Awt=" + old + "; jw%54=" + old + "; %20jwt=" + old + "; +jwt=" + old,
		"upper-case":      "jwt=" + fresh + "; JWT=" + old,
		"behind-a-comma":  "jwt=" + fresh + "; a=1, %6awt=" + old,
		"no-token-of-his": "jwt=" + fresh + "; jwt=" + noToken,
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				probe := g.backend.probe(t)
				if got := p.send(g.site, t, request{host: host, target: "/x", header: []string{probe.header(), "Cookie: b=2; " + line + "; c=3"}}); got.status != http.StatusOK {
					t.Fatalf("got %v", got)
				}
				seen := probe.one()
				if got := seen.value("Cookie"); got != "b=2; jwt="+fresh+"; c=3" {
					t.Errorf("the backend received %q", strings.ReplaceAll(strings.ReplaceAll(got, fresh, "FRESH"), old, "OLD"))
				}
			})
		}
	}
}

package main_test

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func bearer(raw string) string { return "Authorization: Bearer " + raw }

// TestSignatureMalleability: an ES256 signature has two valid forms. Signing out must not be undone by the second one, on
// whichever the verification was cached.
func TestSignatureMalleability(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	status := func(raw string) int {
		return x.http1(t, request{host: appHost, target: "/x", header: []string{cookieLine(raw)}}).status
	}
	for name, order := range map[string]bool{"first-spelling-signs-out": false, "second-spelling-signs-out": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one := x.ownToken(nil)
			other := malleated(t, one)
			if status(one) != http.StatusOK {
				t.Fatal("the token is good")
			}
			status(other) // 200 or 401: both are fine, but it must not stay cached
			if order {
				one, other = other, one
			}
			got := x.http1(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(one), "Origin: https://" + appHost}})
			if got.status == http.StatusUnauthorized && order {
				return // the second spelling is nobody's at all
			}
			if got.status != http.StatusNoContent {
				t.Fatalf("logout: %v", got)
			}
			for spelling, raw := range map[string]string{"same": one, "other": other} {
				if got := status(raw); got != http.StatusUnauthorized {
					t.Errorf("after logout, the %s spelling: %d", spelling, got)
				}
			}
		})
	}
}

// TestAClaimThatCannotBeReadOpensNoDoor: a number beyond a float64 has no value that a rule could compare, nor has a
// backend one. It must not hide the claims beside it from a rule that keeps people out by one.
func TestAClaimThatCannotBeReadOpensNoDoor(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	for name, c := range map[string]struct {
		changes claims
		status  int
	}{
		"not suspended":                 {claims{"suspended": false, "n": json.RawMessage("1e308")}, http.StatusOK},
		"suspended":                     {claims{"suspended": true, "n": json.RawMessage("1e308")}, http.StatusForbidden},
		"suspended, unreadable":         {claims{"suspended": true, "n": json.RawMessage("1e999")}, http.StatusUnauthorized},
		"suspended, unreadable, inside": {claims{"suspended": true, "n": json.RawMessage(`[{"m":-1e999}]`)}, http.StatusUnauthorized},
	} {
		for issuer, raw := range map[string]string{"ours": x.ownToken(c.changes), "partner": x.partnerToken(c.changes)} {
			if got := x.http2(t, request{host: "ours.viloforge.test", target: "/unless-suspended", header: []string{bearer(raw)}}); got.status != c.status {
				t.Errorf("%s, %s: got %v, want %d", name, issuer, got, c.status)
			}
		}
	}
}

// TestATokenIsGoodForItsOwnIssuerAndAudience: that it was accepted, and cached, for one route says nothing about another.
func TestATokenIsGoodForItsOwnIssuerAndAudience(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	partner, own := x.partnerToken(nil), x.ownToken(nil)
	for _, c := range []struct {
		name, host, target, line string
		status                   int
	}{
		{"partner at app", appHost, "/x", bearer(partner), http.StatusOK},
		{"partner at ours", "ours.viloforge.test", "/x", bearer(partner), http.StatusForbidden},
		{"partner again at app", appHost, "/x", bearer(partner), http.StatusOK},
		{"partner's admin by a mapped claim", appHost, "/admin", bearer(partner), http.StatusOK},
		{"own at ours", "ours.viloforge.test", "/x", bearer(own), http.StatusOK},
		{"partner in our cookie", appHost, "/x", cookieLine(partner), http.StatusUnauthorized},
		{"own in the partner's cookie", appHost, "/x", "Cookie: partner-sso=" + own, http.StatusUnauthorized},
		{"own in the guide's cookie", appHost, "/x", "Cookie: jwt=" + own, http.StatusUnauthorized},
		{"partner in its cookie", appHost, "/x", "Cookie: partner-sso=" + partner, http.StatusOK},
		{"partner with our audience", appHost, "/x", bearer(x.partnerToken(claims{"aud": "viloforge"})), http.StatusUnauthorized},
		{"partner for several", appHost, "/x", bearer(x.partnerToken(claims{"aud": []string{"others", "for-us"}})), http.StatusOK},
		{"partner without audience", appHost, "/x", bearer(x.partnerToken(claims{"aud": nil})), http.StatusUnauthorized},
		{"partner without exp", appHost, "/x", bearer(x.partnerToken(claims{"exp": nil})), http.StatusUnauthorized},
	} {
		if got := x.http2(t, request{host: c.host, target: c.target, header: []string{c.line}}); got.status != c.status {
			t.Errorf("%s: got %v, want %d", c.name, got, c.status)
		}
	}
	probe := x.backend.probe(t)
	x.http2(t, request{host: appHost, target: "/x", header: []string{probe.header(), bearer(partner)}})
	seen := probe.one()
	for name, want := range map[string]string{"X-User-Id": "partner:p-1", "X-User": "partner:p-1", "X-User-Roles": "Not%20A%20Role,admin", "X-User-Email": "pat@partner.example"} {
		if got := seen.value(name); got != want && !(name == "X-User" && got == "partner:pat") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestCookiesOfDifferentIssuers: our own is looked at first, then the others in the order of the file.
func TestCookiesOfDifferentIssuers(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	own, partner := ssoCookie+"="+x.ownToken(nil), "partner-sso="+x.partnerToken(nil)
	bad := ssoCookie + "=" + x.ownToken(claims{"exp": time.Now().Unix()})
	for name, c := range map[string]struct{ cookie, id string }{
		"own-first": {own + "; " + partner, "id-of-alice"}, "own-last": {partner + "; " + own, "id-of-alice"},
		"own-expired": {bad + "; " + partner, "partner:p-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := x.backend.probe(t)
			got := x.http1(t, request{host: appHost, target: "/x", header: []string{probe.header(), "Cookie: " + c.cookie}})
			if got.status != http.StatusOK {
				t.Fatalf("got %v", got)
			}
			if seen := probe.one(); seen.value("X-User-Id") != c.id || seen.value("Cookie") != "" {
				t.Errorf("X-User-Id %q with Cookie %q", seen.value("X-User-Id"), seen.value("Cookie"))
			}
		})
	}
}

// TestTenThousandUnknownKeys: tokens with random kids make no storm at the issuer, whose keys are kept while its key
// server misbehaves, and good tokens are served all the while.
func TestTenThousandUnknownKeys(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	before := x.partnerKeys.fetches.Load()
	misbehave := []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusInternalServerError) },
		func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[`+strings.Repeat(x.partner.jwk()+",", 20000))
		},
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	}
	conn := x.handshake(t, x.tls(appHost, "http/1.1"))
	reader := bufio.NewReader(conn)
	now := time.Now()
	body := claims{"iss": partnerISS, "aud": "for-us", "sub": "p", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}.json()
	const tokens, batch = 10000, 100
	pending := 0
	for i := range tokens / batch {
		x.partnerKeys.broken.Store(&misbehave[i%len(misbehave)])
		var requests strings.Builder
		for range batch {
			raw := encode([]byte(x.partner.header(claims{"kid": rand.Text(), "typ": "JWT"}))) + "." + encode([]byte(body)) + "." + encode(make([]byte, 64))
			requests.WriteString(request{host: appHost, target: "/x", header: []string{bearer(raw)}}.text())
		}
		err := conn.SetDeadline(time.Now().Add(waitTimeout))
		if _, wrote := io.WriteString(conn, requests.String()); err != nil || wrote != nil {
			t.Fatal(err, wrote)
		}
		for range batch {
			switch got := readAnswer(t, reader, http.MethodGet); {
			case got.status == http.StatusServiceUnavailable && got.header.Get("Retry-After") != "":
				pending++
			case got.status != http.StatusUnauthorized:
				t.Fatalf("got %v, want 401", got)
			}
		}
		if got := x.http2(t, request{host: appHost, target: "/x", header: []string{bearer(x.partnerToken(nil))}}); got.status != http.StatusOK {
			t.Fatalf("a good token after %d bad ones: %v", (i+1)*batch, got)
		}
	}
	if rounds := int(time.Since(now)/(30*time.Second)) + 2; pending == 0 || pending > 1024*rounds {
		t.Errorf("%d answers of 503 in %v, want 1024 before each fetch at most", pending, time.Since(now))
	}
	allowed := int32(time.Since(now)/(30*time.Second)) + 1
	if n := x.partnerKeys.fetches.Load() - before; n > allowed {
		t.Errorf("the issuer's keys were fetched %d times in %v, want %d at most", n, time.Since(now), allowed)
	}
}

// TestKeysThatAreNotThereYet: an outage of the issuer is 503, never "you are not signed in"; the rest goes on.
func TestKeysThatAreNotThereYet(t *testing.T) {
	t.Parallel()
	backend, partner := record(t), newSigner(t)
	nowhere := freeAddress(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf(`
tokens: { issuers: [ { name: partner, issuer: %q, audience: [for-us], jwks: "http://%s/keys", cookie: partner-sso } ] }
upstreams: { app: { url: %q } }
`, partnerISS, nowhere, backend.url()),
		"policies/app.yaml": attackedPolicy,
	})
	x := issuerSite{site: s, partner: partner}
	raw := x.partnerToken(nil)
	for name, line := range map[string]string{"bearer": bearer(raw), "cookie": "Cookie: a=1; partner-sso=" + raw} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				probe := backend.probe(t)
				got := p.send(s, t, request{host: appHost, target: "/x", header: []string{probe.header(), line}})
				if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || len(got.header.Values("Set-Cookie")) != 0 {
					t.Errorf("got %v, want 503 with Retry-After and no Set-Cookie", got)
				}
				probe.none()
				if got := p.send(s, t, request{host: appHost, target: "/public/x", header: []string{probe.header(), line}}); got.status != http.StatusOK {
					t.Fatalf("a public route: %v", got)
				}
				seen := probe.one()
				assertAnonymous(t, seen)
				if strings.Contains(seen.head, raw[len(raw)-30:]) {
					t.Errorf("the token reached the backend:\n%s", seen.head)
				}
			})
		}
	}
}

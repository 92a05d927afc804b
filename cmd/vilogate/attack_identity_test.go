package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// reserved are all the names that say who somebody is, in every preset.
var reserved = []string{
	"X-User", "X-User-Id", "X-User-Email", "X-User-Name", "X-User-Roles", "X-User-Assertion",
	"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups",
	"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups",
}

// identityHeaderSpoofing: a stranger and a plain user send every identity header in every spelling that some server
// folds into it, hop-by-hop or not, and in trailers. The value must be nowhere in what the backend receives.
func identityHeaderSpoofing(t *testing.T, a attackSite) {
	spellings := func(name string) []string {
		return []string{
			name, strings.ToLower(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."),
			strings.Replace(name, "-", "_", 1), strings.ReplaceAll(name, "-", "~"), strings.ReplaceAll(name, "-", "!"),
			"x_uSER" + strings.TrimPrefix(name, "X-User"),
		}
	}
	for _, p := range protocols() {
		for _, name := range reserved {
			for number, spelling := range spellings(name) {
				line := spelling + ": forged-admin"
				for _, who := range []struct{ name, cookie, target string }{
					{"stranger", "", "/public/x"}, {"alice", a.alice, "/x"},
				} {
					t.Run(fmt.Sprintf("%s/%s/%d/%s", p.name, name, number, who.name), func(t *testing.T) {
						t.Parallel()
						probe := a.backend.probe(t)
						header := []string{line, "Connection: " + spelling, probe.header()}
						if p.name == "HTTP2" {
							header = []string{line, probe.header()}
						}
						if who.cookie != "" {
							header = append(header, cookieLine(who.cookie))
						}
						got := p.send(a.site, t, request{host: appHost, target: who.target, header: header})
						if got.status == http.StatusBadRequest {
							probe.none()
							return
						}
						seen := probe.one()
						if strings.Contains(seen.head, "forged-admin") {
							t.Errorf("%q reached the backend:\n%s", line, seen.head)
						}
						if who.cookie == "" {
							assertAnonymous(t, seen)
						} else {
							assertIdentity(t, seen, "alice", "member")
						}
					})
				}
			}
		}
	}
}

// assertAnonymous asserts that a request has no identity headers.
func assertAnonymous(t *testing.T, seen recorded) {
	t.Helper()
	for _, name := range reserved {
		if lines := seen.folding(name); len(lines) != 0 {
			t.Errorf("an anonymous request carries %q", lines)
		}
	}
}

// assertIdentity asserts that the gateway's own identity headers arrived, once each and in one spelling.
func assertIdentity(t *testing.T, seen recorded, user, roles string) {
	t.Helper()
	for name, want := range map[string]string{
		"X-User": user, "X-User-Roles": roles, "X-User-Email": user + "@viloforge.test", "X-User-Name": user + " the user",
	} {
		if lines := seen.folding(name); want == "" && name == "X-User-Roles" {
			if len(lines) > 0 && seen.value(name) != "" {
				t.Errorf("roles for a user without any: %q", lines)
			}
		} else if got := seen.values(name); len(lines) != 1 || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q (folding: %q), want one %q", name, got, lines, want)
		}
	}
	for _, name := range []string{"X-User-Id", "X-User-Assertion"} {
		if lines := seen.folding(name); len(lines) != 1 || seen.value(name) == "" {
			t.Errorf("%s: %q, want one", name, lines)
		}
	}
}

// absentIdentityHeaders: where the gateway itself sets nothing, a stranger's header must not fill the gap.
func absentIdentityHeaders(t *testing.T, a attackSite) {
	forged := []string{"X-User-Roles: admin", "X-User: admin", "X-User-Email: admin@viloforge.test"}
	for _, p := range protocols() {
		t.Run(p.name+"/no-roles", func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			header := append([]string{probe.header(), cookieLine(a.nora)}, forged...)
			if got := p.send(a.site, t, request{host: appHost, target: "/x", header: header}); got.status != http.StatusOK {
				t.Errorf("got %v", got)
			}
			assertIdentity(t, probe.one(), "nora", "")
		})
		t.Run(p.name+"/public", func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			header := append([]string{probe.header()}, forged...)
			if got := p.send(a.site, t, request{host: appHost, target: "/public/x", header: header}); got.status != http.StatusOK {
				t.Errorf("got %v", got)
			}
			assertAnonymous(t, probe.one())
		})
	}
}

// connectionHeaderStripsIdentity: hop-by-hop names must not remove what the gateway itself sets.
func connectionHeaderStripsIdentity(t *testing.T, a attackSite) {
	for number, header := range [][]string{
		{"Connection: close, X-User, X-User-Roles, X-User-Assertion, X-User-Id, X-User-Email, X-User-Name"},
		{"Connection: close, x-user, x-user-roles"},
		{"Connection: X-User", "Connection: X-User-Assertion, close"},
		{"connection: x-user-id,x-user-email"},
		{"Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Request-Id, Forwarded, X-Real-IP, Host"},
		{"Connection: Cookie, Authorization"},
		{"Proxy-Connection: X-User", "Keep-Alive: X-User"},
	} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			all := append([]string{probe.header(), cookieLine(a.alice)}, header...)
			got := a.http1(t, request{host: appHost, target: "/x", header: all})
			if got.status != http.StatusOK {
				t.Fatalf("got %v", got)
			}
			seen := probe.one()
			assertIdentity(t, seen, "alice", "member")
			for _, name := range []string{"Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id"} {
				if len(seen.values(name)) != 1 {
					t.Errorf("%s is not there:\n%s", name, seen.head)
				}
			}
		})
	}
}

// identityInTrailers: what may not stand in a header may not come behind the body either.
func identityInTrailers(t *testing.T, a attackSite) {
	for number, name := range []string{"X-User", "x_user", "X-User-Roles", "Remote-User", "X-User-Assertion", "X.User"} {
		origin := "Origin: https://" + appHost
		t.Run(fmt.Sprintf("HTTP1.1/%d", number), func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			got := a.http1(t, request{
				method: http.MethodPost, host: appHost, target: "/x",
				header: []string{probe.header(), cookieLine(a.alice), origin, "Transfer-Encoding: chunked", "Trailer: " + name},
				body:   "2\r\nhi\r\n0\r\n" + name + ": forged-admin\r\n\r\n",
			})
			a.assertNotForwarded(t, probe, got)
		})
		t.Run(fmt.Sprintf("HTTP2/%d", number), func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			c := a.h2(t, appHost)
			r := request{method: http.MethodPost, host: appHost, target: "/x", header: []string{probe.header(), cookieLine(a.alice), origin, "trailer: " + name}}
			stream := c.headers(r.fields(), false)
			c.check(c.framer.WriteData(stream, false, []byte("hi")))
			c.writeBlock(stream, []field{{strings.ToLower(name), "forged-admin"}}, true)
			a.assertNotForwarded(t, probe, c.read(stream))
		})
	}
}

// assertNotForwarded asserts that a request was refused, or forwarded without the spoofed value.
func (a attackSite) assertNotForwarded(t *testing.T, p probe, got answer) {
	t.Helper()
	switch got.status {
	case http.StatusOK:
		seen := p.one()
		if strings.Contains(seen.head+seen.body, "forged-admin") {
			t.Errorf("the forged value reached the backend:\n%s\n%s", seen.head, seen.body)
		}
	case http.StatusBadRequest, 0:
	default:
		t.Errorf("got %v, want 200 without the forged value, or 400", got)
	}
}

// duplicateHeaderLines: two lines of one name, good and bad in both orders, mean one and the same on every protocol.
func duplicateHeaderLines(t *testing.T, a attackSite) {
	bearer := "Authorization: Bearer " + a.alice
	for _, p := range protocols() {
		for name, header := range map[string][]string{
			"good-bad":     {bearer, "Authorization: Bearer nonsense"},
			"bad-good":     {"Authorization: Bearer nonsense", bearer},
			"same":         {bearer, bearer},
			"basic-bearer": {"Authorization: Basic YTpi", bearer},
			"empty":        {"Authorization:", bearer},
		} {
			t.Run(p.name+"/authorization/"+name, func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				got := p.send(a.site, t, request{host: appHost, target: "/x", header: append([]string{probe.header()}, header...)})
				if got.status != http.StatusBadRequest {
					t.Errorf("got %v, want 400", got)
				}
				probe.none()
			})
		}
		t.Run(p.name+"/cookies-joined", func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			got := p.send(a.site, t, request{host: appHost, target: "/x", header: []string{
				probe.header(), "Cookie: b=2; a=1", "Cookie: " + ssoCookie + "=" + a.alice, "Cookie: c=\"3\"; b=4",
			}})
			if got.status != http.StatusOK {
				t.Fatalf("got %v", got)
			}
			seen := probe.one()
			assertIdentity(t, seen, "alice", "member")
			if cookies := seen.values("Cookie"); len(cookies) != 1 || cookies[0] != `b=2; a=1; c="3"; b=4` {
				t.Errorf("Cookie: %q, want the others, in order and whole", cookies)
			}
		})
		t.Run(p.name+"/proto", func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			p.send(a.site, t, request{host: appHost, target: "/public/x", header: []string{
				probe.header(), "X-Forwarded-Proto: http", "X-Forwarded-Proto: https", "X_Forwarded_Proto: gopher",
			}})
			seen := probe.one()
			if lines := seen.folding("X-Forwarded-Proto"); len(lines) != 1 || seen.value("X-Forwarded-Proto") != "https" {
				t.Errorf("X-Forwarded-Proto: %q", lines)
			}
		})
	}
}

// assertionIsNoCredential: the key that signs identity headers signs no logins (invariant 7).
func assertionIsNoCredential(t *testing.T, a attackSite) {
	first := a.backend.probe(t)
	if got := a.http1(t, request{host: appHost, target: "/x", header: []string{first.header(), cookieLine(a.alice)}}); got.status != http.StatusOK {
		t.Fatalf("got %v", got)
	}
	assertion := first.one().value("X-User-Assertion")
	for name, line := range map[string]string{"bearer": "Authorization: Bearer " + assertion, "cookie": cookieLine(assertion)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			if got := a.http2(t, request{host: appHost, target: "/x", header: []string{probe.header(), line}}); got.status != http.StatusUnauthorized {
				t.Errorf("got %v, want 401", got)
			}
			probe.none()
		})
	}
}

// signedAssertion: the signed form of the identity says what the plain headers say, verifiable with the published keys.
func signedAssertion(t *testing.T, a attackSite) {
	probe := a.backend.probe(t)
	a.http1(t, request{host: appHost, target: "/x", header: []string{probe.header(), cookieLine(a.carol)}})
	seen := probe.one()
	header, got := verifyES256(t, a.site, seen.value("X-User-Assertion"))
	if header["typ"] != "vilogate-assertion+jwt" || header["alg"] != "ES256" {
		t.Errorf("header %v", header)
	}
	if got["iss"] != "https://viloforge.test" || strings.Trim(fmt.Sprint(got["aud"]), "[]") != "app" || got["preferred_username"] != "carol" ||
		got["email"] != "carol@viloforge.test" || got["sub"] != seen.value("X-User-Id") || got["name"] != "carol the user" ||
		fmt.Sprint(got["roles"]) != "[admin member]" || got["sid"] == "" || got["amr"] == nil || got["auth_time"] == nil {
		t.Errorf("claims %v", got)
	}
	issued, _ := got["iat"].(float64)
	expires, _ := got["exp"].(float64)
	if expires-issued != 60 {
		t.Errorf("iat %v, exp %v: want 60 s", got["iat"], got["exp"])
	}
}

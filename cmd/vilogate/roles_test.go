package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

const corpISS = "https://corp.example"

// roleSite is a gateway in front of the people of another issuer, whose roles are called what they are called there.
type roleSite struct {
	*site
	backend *recorder
	corp    signer
}

func newRoleSite(t *testing.T) roleSite {
	t.Helper()
	x := roleSite{backend: record(t), corp: newSigner(t)}
	x.site = serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf(`
tokens:
  issuers:
    - name: corp
      issuer: %q
      audience: [for-us]
      jwks: "%s/.well-known/jwks.json"
      cookie: corp-sso
      claims: { roles: groups }
      role_map: { "/admins": admin, "Domain Users": drop }
upstreams: { app: { url: %q } }
`, corpISS, publishKeys(t, x.corp).URL, x.backend.url()),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: /admin, allow: { roles: [admin] } }
  - { path: /night, allow: { roles: ["Ops, Night Shift"] } }
  - { path: /group, allow: { roles: [000000c7-1111-4222-8333-444455556666] } }
  - { path: /others, allow: { not: { roles: [000000c7-1111-4222-8333-444455556666] } } }
  - { path: /jürgen, allow: { users: ["corp:Jürgen Müller"] } }
  - { path: "/*rest", allow: authenticated }
tests:
  - { get: /night, as: { user: "corp:x", roles: ["Ops, Night Shift"] }, expect: allow }
`,
	})
	eventually(t, "the keys are loaded", func() bool {
		return x.http1(t, request{host: appHost, target: "/x", header: []string{bearer(x.token(nil))}}).status == http.StatusOK
	})
	return x
}

func (x roleSite) token(changes claims) string {
	now := time.Now()
	return x.corp.sign(x.corp.header(claims{"typ": "JWT"}), claims{
		"iss": corpISS, "aud": "for-us", "sub": "7", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "groups": []string{"member"},
	}.with(changes).json())
}

// TestRolesOfOtherIssuers: a policy names them as their issuer does, a header has them so that no two become one, and none
// of theirs is one of ours by accident.
func TestRolesOfOtherIssuers(t *testing.T) {
	t.Parallel()
	x := newRoleSite(t)
	for name, c := range map[string]struct {
		changes claims
		target  string
		status  int
		roles   string
	}{
		"mapped":               {claims{"groups": []string{"/admins"}}, "/admin", http.StatusOK, "admin"},
		"spelled as ours":      {claims{"groups": []string{"admin"}}, "/admin", http.StatusForbidden, ""},
		"in another case":      {claims{"groups": []string{"Admin", "admins", "/Admins"}}, "/admin", http.StatusForbidden, ""},
		"raw":                  {claims{"groups": []string{"Ops, Night Shift", "100%", "Domain Users"}}, "/night", http.StatusOK, "100%25,Ops%2C%20Night%20Shift"},
		"as two":               {claims{"groups": []string{"Ops", "Night Shift"}}, "/night", http.StatusForbidden, ""},
		"encoded":              {claims{"groups": []string{"Ops%2C%20Night%20Shift"}}, "/night", http.StatusForbidden, ""},
		"encoded, at the edge": {claims{"groups": []string{"Ops%2C%20Night%20Shift"}}, "/x", http.StatusOK, "Ops%252C%2520Night%2520Shift"},
		"a line in a role":     {claims{"groups": []string{"a\r\nX-User: root", "b"}}, "/x", http.StatusOK, "b"},
		"a person":             {claims{"preferred_username": "Jürgen Müller"}, "/j%C3%BCrgen", http.StatusOK, "member"},
		"another person":       {claims{"preferred_username": "Jürgen_Müller"}, "/j%C3%BCrgen", http.StatusForbidden, ""},
	} {
		for _, p := range protocols() {
			t.Run(name+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				probe := x.backend.probe(t)
				got := p.send(x.site, t, request{host: appHost, target: c.target, header: []string{probe.header(), bearer(x.token(c.changes))}})
				if got.status != c.status {
					t.Fatalf("%v, want %d", got, c.status)
				}
				if c.status != http.StatusOK {
					probe.none()
				} else if roles := probe.one().value("X-User-Roles"); roles != c.roles {
					t.Errorf("X-User-Roles: %q, want %q", roles, c.roles)
				}
			})
		}
	}
}

// TestATokenOfTwoHundredGroups: as Entra makes them, 11 KiB long, it is accepted wherever it comes; policies see every group,
// and a backend gets no more than it takes.
func TestATokenOfTwoHundredGroups(t *testing.T) {
	t.Parallel()
	x := newRoleSite(t)
	groups := make([]string, 200)
	for i := range groups {
		groups[i] = fmt.Sprintf("%08x-1111-4222-8333-444455556666", i)
	}
	raw := x.token(claims{"groups": append(groups, "/admins")})
	if len(raw) < 10<<10 || len(raw) > 14<<10 {
		t.Fatalf("the token has %d bytes", len(raw))
	}
	for name, line := range map[string]string{"bearer": bearer(raw), "cookie": "Cookie: corp-sso=" + raw} {
		for _, p := range protocols() {
			t.Run(name+"/"+p.name, func(t *testing.T) {
				for target, status := range map[string]int{"/group": http.StatusOK, "/admin": http.StatusOK, "/others": http.StatusForbidden} {
					if got := p.send(x.site, t, request{host: appHost, target: target, header: []string{line}}); got.status != status {
						t.Errorf("%s: %v, want %d", target, got, status)
					}
				}
				probe := x.backend.probe(t)
				p.send(x.site, t, request{host: appHost, target: "/x", header: []string{probe.header(), line}})
				seen := probe.one()
				roles := seen.value("X-User-Roles")
				if !strings.HasSuffix(roles, ",admin") || len(roles) > 4<<10 || len(roles) < 3<<10 {
					t.Errorf("X-User-Roles of %d bytes: %.80q", len(roles), roles)
				}
				for line := range strings.SplitSeq(seen.head, "\r\n") {
					if len(line) > 8190 {
						t.Errorf("a field of %d bytes: %.40q", len(line), line)
					}
				}
				if len(seen.head) > 16<<10 {
					t.Errorf("%d bytes in all", len(seen.head))
				}
			})
		}
	}
	long := x.token(claims{"x": strings.Repeat("x", 17<<10)})
	if got := x.http2(t, request{host: appHost, target: "/x", header: []string{bearer(long)}}); got.status != http.StatusUnauthorized {
		t.Errorf("a token of %d bytes: %v", len(long), got)
	}
	for range 2 {
		overage := x.token(claims{"groups": nil, "_claim_names": claims{"groups": "src1"}, "x": time.Now().UnixNano()})
		if got := x.http1(t, request{host: appHost, target: "/x", header: []string{bearer(overage)}}); got.status != http.StatusOK {
			t.Errorf("overage: %v", got)
		}
	}
	log, metrics := x.process.output.String(), x.admin(t, "/metrics").body
	for _, want := range []string{"map those that backends ask for: role_map", groups[199][:8], "(overage)"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	if n := strings.Count(log, "(overage)"); n != 1 {
		t.Errorf("overage is said %d times", n)
	}
	for _, want := range []string{`vilogate_role_findings_total{finding="not-forwarded",issuer="corp"} 1`, `vilogate_role_findings_total{finding="overage",issuer="corp"} 2`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics have no %s", want)
		}
	}
}

// TestATokenWithoutAudienceSaysSo: not that it is no signed token.
func TestATokenWithoutAudienceSaysSo(t *testing.T) {
	t.Parallel()
	x := newRoleSite(t)
	for name, aud := range map[string]any{"none": nil, "an empty list": []string{}} {
		raw := x.token(claims{"aud": aud})
		if got := x.http2(t, request{host: appHost, target: "/x", header: []string{bearer(raw)}}); got.status != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, got)
		}
		if got := x.http1(t, request{host: appHost, target: "/x", header: []string{"Cookie: corp-sso=" + raw}}); got.status != http.StatusUnauthorized {
			t.Errorf("%s, in a cookie: %v", name, got)
		}
	}
	eventually(t, "the log says it", func() bool {
		log := x.process.output.String()
		return strings.Count(log, "no audience: aud is missing or empty") == 2 && strings.Count(log, `"name":"corp-sso","issuer":"corp","reason":"audience"`) == 2
	})
}

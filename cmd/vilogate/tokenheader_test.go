package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// accessSite is a gateway behind Cloudflare Access, which adds its token in a header, with an identity provider of our own
// besides. The user names of both are ours.
type accessSite struct {
	issuerSite
	access signer
}

const accessISS = "https://corp.cloudflareaccess.example"

func newAccessSite(t *testing.T) accessSite {
	t.Helper()
	x := accessSite{issuerSite{backend: record(t), own: newSigner(t)}, newSigner(t)}
	x.ownKeys, x.partnerKeys = publishKeys(t, x.own), publishKeys(t, x.access)
	x.site = serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
redis: %q
secret: "a secret of the whole fleet, 32 bytes or more"
login: { host: login.viloforge.test, upstream: %q }
tokens:
  issuers:
    - { name: access, issuer: %q, audience: [tag], jwks: "%s/.well-known/jwks.json", header: cf-access-jwt-assertion, claims: { user: nickname } }
    - { name: edge, issuer: "https://edge.example", audience: [tag], jwks: "%s/.well-known/jwks.json", header: X-Edge-Login, claims: { user: nickname } }
upstreams:
  app: { url: %[6]q }
  passing: { url: %[6]q, odd_headers: pass, identity_headers_pass: [Cf-Access-Jwt-Assertion, X-Edge-Login] }
`, confirmed(redistest.New(t)).URL(), x.ownKeys.URL, accessISS, x.partnerKeys.URL, x.partnerKeys.URL, x.backend.url()),
		"policies/app.yaml":     attackedPolicy,
		"policies/passing.yaml": "host: passing.viloforge.test\nupstream: passing\nroutes: [ { path: \"/public/*rest\", allow: public }, { path: \"/*rest\", allow: authenticated, bearer: pass } ]\n",
		"policies/fresh.yaml":   "host: fresh.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: { mfa: 15m } } ]\n",
	})
	for _, header := range []string{x.header("alice", nil), x.edge("alice", nil)} {
		eventually(t, "the keys of Access are loaded", func() bool {
			return x.http1(t, request{host: appHost, target: "/x", header: []string{header}}).status == http.StatusOK
		})
	}
	return x
}

func (x accessSite) token(user string, changes claims) string {
	now := time.Now()
	return x.access.sign(x.access.header(claims{"typ": nil}), claims{
		"iss": accessISS, "aud": []string{"tag"}, "sub": "7335d417-" + user, "type": "app", "email": user + "@corp.example", "nickname": user,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}.with(changes).json())
}

// header is the line that Access adds.
func (x accessSite) header(user string, changes claims) string {
	return "Cf-Access-Jwt-Assertion: " + x.token(user, changes)
}

// edge is the line that another proxy adds.
func (x accessSite) edge(user string, changes claims) string {
	return "X-Edge-Login: " + x.token(user, claims{"iss": "https://edge.example", "sub": "e-" + user}.with(changes))
}

// TestTokenInAHeaderOfTheProxyInFront: it says who asks, as a cookie would: with CSRF protection, and no backend is sent it.
// Two people in one request are nobody.
func TestTokenInAHeaderOfTheProxyInFront(t *testing.T) {
	t.Parallel()
	x := newAccessSite(t)
	alice, now := x.header("alice", nil), time.Now()
	ownCookie, carolCookie := cookieLine(x.ownToken(nil)), cookieLine(x.own.sign(x.own.header(nil), good("carol", nil).json()))
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			ask := func(probe probe, method, host, target string, header ...string) answer {
				return p.send(x.site, t, request{method: method, host: host, target: target, header: append([]string{probe.header()}, header...)})
			}
			for name, c := range map[string]struct {
				header []string
				who    string
			}{
				"alone":                       {[]string{alice}, "access:7335d417-alice"},
				"twice the same":              {[]string{alice, alice}, "access:7335d417-alice"},
				"beside the cookie of alice":  {[]string{alice, ownCookie}, "access:7335d417-alice"},
				"beside the Bearer of alice":  {[]string{alice, bearer(x.ownToken(nil))}, "id-of-alice"},
				"beside another proxy's":      {[]string{alice, x.edge("alice", nil)}, "access:7335d417-alice"},
				"expired, beside a cookie":    {[]string{x.header("alice", claims{"exp": now.Unix()}), carolCookie}, "id-of-carol"},
				"of another issuer, beside":   {[]string{"Cf-Access-Jwt-Assertion: " + x.ownToken(nil), carolCookie}, "id-of-carol"},
				"beside an expired cookie":    {[]string{alice, cookieLine(x.ownToken(claims{"exp": now.Unix()}))}, "access:7335d417-alice"},
				"beside Basic":                {[]string{alice, "Authorization: Basic YTpi"}, "access:7335d417-alice"},
				"a service's token, a Bearer": {[]string{x.header("x", claims{"sub": "", "nickname": nil}), bearer(x.ownToken(nil))}, "id-of-alice"},
			} {
				probe := x.backend.probe(t)
				if got := ask(probe, "GET", appHost, "/x", append([]string{"CF_Access_Jwt_Assertion: odd", "x_edge_login: odd", "X-Edge_Login: odd"}, c.header...)...); got.status != http.StatusOK {
					t.Errorf("%s: got %v", name, got)
					continue
				}
				seen := probe.one()
				if got := seen.value("X-User-Id"); got != c.who {
					t.Errorf("%s: the backend is told of %q, want %q", name, got, c.who)
				}
				for _, gone := range []string{"Cf-Access-Jwt-Assertion", "X-Edge-Login"} {
					if lines := seen.folding(gone); len(lines) > 0 {
						t.Errorf("%s: the backend received %q", name, lines)
					}
				}
				x.backend.forget(probe)
			}
			for name, c := range map[string]struct {
				method string
				header []string
				status int
				kind   string
			}{
				"another's cookie":          {"GET", []string{alice, carolCookie}, 400, "/credential-conflict"},
				"another's Bearer":          {"GET", []string{x.header("carol", nil), bearer(x.ownToken(nil))}, 400, "/credential-conflict"},
				"another of that name":      {"GET", []string{alice, bearer(x.token("alice", claims{"sub": "another"}))}, 400, "/credential-conflict"},
				"another proxy's":           {"GET", []string{alice, x.edge("carol", nil)}, 400, "/credential-conflict"},
				"two lines":                 {"GET", []string{alice, x.header("alice", claims{"jti": "2"})}, 400, "/credential-conflict"},
				"a stranger's line":         {"GET", []string{"Cf-Access-Jwt-Assertion: x", alice}, 400, "/credential-conflict"},
				"two in a line":             {"GET", []string{alice + ", " + x.token("alice", nil)}, 401, "/unauthenticated"},
				"our own token":             {"GET", []string{"Cf-Access-Jwt-Assertion: " + x.ownToken(nil)}, 401, "/unauthenticated"},
				"in the other's header":     {"GET", []string{"X-Edge-Login: " + x.token("alice", nil)}, 401, "/unauthenticated"},
				"with a scheme":             {"GET", []string{"Cf-Access-Jwt-Assertion: Bearer " + x.token("alice", nil)}, 401, "/unauthenticated"},
				"expired":                   {"GET", []string{x.header("alice", claims{"exp": now.Unix()})}, 401, "/unauthenticated"},
				"an odd spelling":           {"GET", []string{"Cf_Access_Jwt_Assertion: " + x.token("alice", nil)}, 401, "/unauthenticated"},
				"a bad Bearer":              {"GET", []string{alice, bearer(x.ownToken(claims{"exp": now.Unix()}))}, 401, "/invalid-token"},
				"an application's":          {"GET", []string{alice, bearer("ghp_x")}, 401, "/invalid-token"},
				"from nowhere":              {"POST", []string{alice, "Content-Length: 0"}, 403, "/csrf"},
				"from another site":         {"POST", []string{alice, "Content-Length: 0", "Origin: https://evil.example"}, 403, "/csrf"},
				"from another site, cookie": {"POST", []string{alice, ownCookie, "Content-Length: 0", "Sec-Fetch-Site: cross-site"}, 403, "/csrf"},
			} {
				probe := x.backend.probe(t)
				if got := ask(probe, c.method, appHost, "/x", c.header...); got.status != c.status || !strings.HasSuffix(got.problem(t).Type, c.kind) {
					t.Errorf("%s: got %v, want %d %s", name, got, c.status, c.kind)
				}
				probe.none()
				if c.method != "GET" || c.status != 400 {
					continue
				}
				if got := ask(probe, "GET", appHost, "/public/x", c.header...); got.status != http.StatusOK {
					t.Errorf("%s, public: got %v", name, got)
					continue
				}
				assertAnonymous(t, probe.one())
				x.backend.forget(probe)
			}
			probe := x.backend.probe(t)
			if got := ask(probe, "GET", "passing.viloforge.test", "/x", alice, "CF_Access_Jwt_Assertion: odd", bearer("ghp_x")); got.status != http.StatusOK {
				t.Fatalf("got %v", got)
			}
			seen := probe.one()
			if lines := seen.folding("Cf-Access-Jwt-Assertion"); len(lines) != 1 || "Cf-Access-Jwt-Assertion: "+seen.value("Cf-Access-Jwt-Assertion") != alice ||
				seen.value("Authorization") != "Bearer ghp_x" || seen.value("X-User") != "alice" {
				t.Errorf("a backend that is to be sent the token received:\n%s", seen.head)
			}
			x.backend.forget(probe)
			// It goes no further where it proves nobody.
			for name, c := range map[string]struct {
				header []string
				passes bool
			}{
				"good":                 {[]string{alice}, true},
				"beside the same's":    {[]string{alice, bearer(x.ownToken(nil))}, true},
				"expired":              {[]string{x.header("alice", claims{"exp": now.Unix()})}, false},
				"beside another's":     {[]string{alice, carolCookie}, false},
				"of whoever signed it": {[]string{"Cf-Access-Jwt-Assertion: " + newSigner(t).sign(x.access.header(nil), good("alice", nil).json())}, false},
				"no token":             {[]string{"Cf-Access-Jwt-Assertion: alice"}, false},
				"another proxy's":      {[]string{alice, x.edge("carol", nil)}, false},
			} {
				probe := x.backend.probe(t)
				if got := ask(probe, "GET", "passing.viloforge.test", "/public/x", c.header...); got.status != http.StatusOK {
					t.Errorf("%s, public: got %v", name, got)
					continue
				}
				seen := probe.one()
				if lines := seen.folding("Cf-Access-Jwt-Assertion"); (len(lines) == 1) != c.passes || (seen.value("X-User-Id") != "") != c.passes {
					t.Errorf("%s: a public route's backend received:\n%s", name, seen.head)
				}
				x.backend.forget(probe)
			}
			// A login of ours would make nobody's header fresher.
			if got := ask(probe, "GET", "fresh.viloforge.test", "/x", alice, "Sec-Fetch-Mode: navigate", "Accept: text/html"); got.status != http.StatusUnauthorized {
				t.Errorf("a step-up: got %v", got)
			}
		})
	}
}

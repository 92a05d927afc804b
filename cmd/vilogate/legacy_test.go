package main_test

import (
	"crypto"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// legacySite is a site on its way from the guide's Django login to our own: both cookies open its backends.
type legacySite struct {
	*site
	backend *recorder
	secret  []byte
}

func newLegacySite(t *testing.T) legacySite {
	t.Helper()
	g := legacySite{backend: record(t), secret: []byte("the JWT_SECRET of the guide's services")}
	g.site = serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf(`
tokens:
  issuers:
    - { name: legacy-django, secret: "${file:jwt.secret}", algorithm: HS256, cookie: jwt, claims: { user: username, email: email } }
upstreams:
  app: { url: %[1]q }
  django: { url: %[1]q, forward_token: legacy-django }
`, g.backend.url()),
		"jwt.secret":           string(g.secret) + "\n",
		"policies/app.yaml":    attackedPolicy,
		"policies/django.yaml": "host: django.viloforge.test\nupstream: django\nroutes: [ { path: \"/public\", allow: public }, { path: \"/*rest\", allow: authenticated } ]\n",
	})
	return g
}

// token is a token as the guide's login_user view makes it: PyJWT's header, four claims.
func (g legacySite) token(changes claims) string {
	now := time.Now()
	return hs(crypto.SHA256, g.secret, `{"alg":"HS256","typ":"JWT"}`, claims{
		"username": "dora", "email": "dora@viloforge.com", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}.with(changes).json())
}

// TestTheGuidesToken: HS256, cookie `jwt`, neither iss nor aud nor sub nor jti, and a backend opens.
func TestTheGuidesToken(t *testing.T) {
	t.Parallel()
	g := newLegacySite(t)
	raw := g.token(nil)
	for name, line := range map[string]string{"cookie": "Cookie: csrftoken=x; jwt=" + raw + "; sessionid=y", "bearer": bearer(raw)} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				probe := g.backend.probe(t)
				got := p.send(g.site, t, request{host: appHost, target: "/invoices", header: []string{probe.header(), line}})
				if got.status != http.StatusOK {
					t.Fatalf("got %v", got)
				}
				seen := probe.one()
				for name, want := range map[string]string{"X-User": "dora", "X-User-Id": "legacy-django:dora", "X-User-Email": "dora@viloforge.com"} {
					if got := seen.values(name); len(got) != 1 || got[0] != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				if seen.value("X-User-Roles") != "" {
					t.Errorf("roles although none are mapped: %q", seen.value("X-User-Roles"))
				}
				if strings.Contains(seen.head, raw) {
					t.Errorf("the token reached a backend that was not to have it:\n%s", seen.head)
				}
				if cookie := seen.value("Cookie"); name == "cookie" && cookie != "csrftoken=x; sessionid=y" {
					t.Errorf("Cookie %q", cookie)
				}
			})
		}
	}
}

// TestForwardedToken: a service that still verifies the guide's token itself gets it, where it came, and no other.
func TestForwardedToken(t *testing.T) {
	t.Parallel()
	g := newLegacySite(t)
	g.addUser("alice", "member")
	own, raw := g.client().login("alice").sso(), g.token(nil)
	for name, c := range map[string]struct {
		header                []string
		target                string
		cookie, authorization string
	}{
		"cookie":        {[]string{"Cookie: a=1; jwt=" + raw}, "/x", "a=1; jwt=" + raw, ""},
		"bearer":        {[]string{bearer(raw)}, "/x", "", "Bearer " + raw},
		"own":           {[]string{"Cookie: a=1; " + ssoCookie + "=" + own}, "/x", "a=1", ""},
		"own-bearer":    {[]string{bearer(own)}, "/x", "", ""},
		"own-and-other": {[]string{"Cookie: jwt=" + raw + "; " + ssoCookie + "=" + own}, "/x", "", ""},
		"public":        {[]string{"Cookie: jwt=" + raw}, "/public", "jwt=" + raw, ""},
		"bad-on-public": {[]string{"Cookie: a=1; jwt=" + raw + "x"}, "/public", "a=1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := g.backend.probe(t)
			got := g.http1(t, request{host: "django.viloforge.test", target: c.target, header: append([]string{probe.header()}, c.header...)})
			if got.status != http.StatusOK {
				t.Fatalf("got %v", got)
			}
			seen := probe.one()
			if seen.value("Cookie") != c.cookie || seen.value("Authorization") != c.authorization {
				t.Errorf("Cookie %q, Authorization %q, want %q and %q", seen.value("Cookie"), seen.value("Authorization"), c.cookie, c.authorization)
			}
		})
	}
}

// TestForgedGuideTokens: forged, stale, or signed in another way, and it opens nothing; nor does it take anything from
// somebody who has signed in with our own IdP.
func TestForgedGuideTokens(t *testing.T) {
	t.Parallel()
	g := newLegacySite(t)
	g.addUser("alice", "member")
	own := g.client().login("alice").sso()
	now := time.Now()
	header, plain := `{"alg":"HS256","typ":"JWT"}`, claims{"username": "dora", "email": "d@viloforge.com", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	stranger := newSigner(t)
	for name, raw := range map[string]string{
		"other-secret": hs(crypto.SHA256, []byte("another secret of thirty-two bytes, or so"), header, plain.json()), "empty-secret": hs(crypto.SHA256, nil, header, plain.json()),
		"secret-with-line-break": hs(crypto.SHA256, append(g.secret[:len(g.secret):len(g.secret)], '\n'), header, plain.json()),
		"stale":                  g.token(claims{"iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(-time.Hour).Unix()}), "just-stale": g.token(claims{"exp": now.Unix()}),
		"HS512": hs(crypto.SHA512, g.secret, `{"alg":"HS512","typ":"JWT"}`, plain.json()), "HS384": hs(crypto.SHA384, g.secret, `{"alg":"HS384","typ":"JWT"}`, plain.json()),
		"HS512-called-HS256": hs(crypto.SHA512, g.secret, header, plain.json()), "ES256": stranger.sign(stranger.header(claims{"typ": "JWT"}), plain.json()),
		"none": encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode([]byte(plain.json())) + ".", "no-exp": g.token(claims{"exp": nil}), "no-iat": g.token(claims{"iat": nil}),
		"no-username": g.token(claims{"username": nil}), "empty-username": g.token(claims{"username": ""}), "username-list": g.token(claims{"username": []string{"dora"}}),
		"username-with-line-break": g.token(claims{"username": "dora\r\nX-User-Roles: admin"}), "username-with-colon": g.token(claims{"username": "legacy-django:dora"}),
		"username-with-space": g.token(claims{"username": "do ra"}), "username-twice": hs(crypto.SHA256, g.secret, header, strings.Replace(plain.json(), "{", `{"username":"alice",`, 1)),
		"our-issuer": g.token(claims{"iss": "https://login.viloforge.test", "aud": "viloforge", "sub": "1"}), "gateway-as-issuer": g.token(claims{"iss": "https://viloforge.test"}),
		"crit":            hs(crypto.SHA256, g.secret, `{"alg":"HS256","typ":"JWT","crit":["x"],"x":1}`, plain.json()),
		"not-yet":         g.token(claims{"nbf": now.Add(time.Hour).Unix()}),
		"issued-later":    g.token(claims{"iat": now.Add(time.Hour).Unix(), "exp": now.Add(2 * time.Hour).Unix()}),
		"assertion-typed": hs(crypto.SHA256, g.secret, `{"alg":"HS256","typ":"vilogate-assertion+jwt"}`, plain.json()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := g.backend.probe(t)
			for _, line := range []string{"Cookie: jwt=" + raw, bearer(raw)} {
				if got := g.http2(t, request{host: appHost, target: "/x", header: []string{probe.header(), line}}); got.status != http.StatusUnauthorized {
					t.Errorf("got %v, want 401", got)
				}
			}
			probe.none()
			got := g.http2(t, request{host: appHost, target: "/x", header: []string{probe.header(), "Cookie: jwt=" + raw + "; " + ssoCookie + "=" + own}})
			if got.status != http.StatusOK || probe.one().value("X-User") != "alice" {
				t.Errorf("our own cookie beside it: %v", got)
			}
		})
	}
}

// TestGuideTokenSignsOut: a token without a jti is signed out by its subject: everything issued until then.
func TestGuideTokenSignsOut(t *testing.T) {
	t.Parallel()
	g := newLegacySite(t)
	raw, other := g.token(nil), g.token(claims{"username": "erik"})
	status := func(raw string) int {
		return g.http1(t, request{host: appHost, target: "/x", header: []string{"Cookie: jwt=" + raw}}).status
	}
	if status(raw) != http.StatusOK || status(other) != http.StatusOK {
		t.Fatal("both tokens are good")
	}
	got := g.http1(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{"Cookie: jwt=" + raw, "Origin: https://" + appHost}})
	if got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	if got := status(raw); got != http.StatusUnauthorized {
		t.Errorf("the token after logout: %d", got)
	}
	if got := status(other); got != http.StatusOK {
		t.Errorf("somebody else's token: %d", got)
	}
	// A token issued after the sign-out is a new login; iat may lie a little ahead of this clock.
	if got := status(g.token(claims{"iat": time.Now().Add(5 * time.Second).Unix()})); got != http.StatusOK {
		t.Errorf("a later token: %d", got)
	}
}

// TestLoginPageOfSomebodyElse: until the IdP moves, people are sent to the guide's own login page.
func TestLoginPageOfSomebodyElse(t *testing.T) {
	t.Parallel()
	backend := record(t)
	secret := []byte("the JWT_SECRET of the guide's services")
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
tokens: { issuers: [ { name: legacy-django, secret: %q, cookie: jwt, claims: { user: username } } ] }
login: { url: "https://login.viloforge.test/accounts/login?theme=dark" }
upstreams: { app: { url: %q } }
`, string(secret), backend.url()),
		"policies/app.yaml":   attackedPolicy,
		"policies/login.yaml": "host: login.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
	})
	c := s.client()
	got := c.open(s.url("app", "/x?a=1&b=%2F"))
	to := got.header.Get("Location")
	if got.status != http.StatusFound || !strings.HasPrefix(to, "https://login.viloforge.test/accounts/login?theme=dark&") ||
		!strings.Contains(to, "redirect_uri=https%3A%2F%2Fapp.viloforge.test%2Fx%3Fa%3D1%26b%3D%252F") {
		t.Errorf("got %d to %q", got.status, to)
	}
	if got := c.open(to); got.status != http.StatusOK {
		t.Errorf("the login page behind the gateway: %v", got)
	}
	g := legacySite{secret: secret}
	if got := c.open(s.url("app", "/x"), "Cookie: jwt="+g.token(nil)); got.status != http.StatusOK {
		t.Errorf("with the guide's token: %v", got)
	}
}

// newForeignLoginSite is a site whose login page is the guide's.
func newForeignLoginSite(t *testing.T, policy string) legacySite {
	t.Helper()
	g := legacySite{backend: record(t), secret: []byte("the JWT_SECRET of the guide's services")}
	g.site = serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
tokens: { issuers: [ { name: legacy-django, secret: %q, cookie: jwt, claims: { user: username } } ] }
login: { url: "https://login.viloforge.test/accounts/login" }
upstreams: { app: { url: %q } }
`, string(g.secret), g.backend.url()),
		"policies/app.yaml": policy,
	})
	return g
}

// TestNamesOfDjangosUsers: what Django's validator lets a user be called, the guide's tokens may carry; backends are told
// percent-encoded, policies write it as it is.
func TestNamesOfDjangosUsers(t *testing.T) {
	t.Parallel()
	g := newForeignLoginSite(t, "host: app.viloforge.test\nupstream: app\nroutes:\n  - { path: /hers, allow: { users: [王小明, jürgen] } }\n  - { path: \"/*rest\", allow: authenticated }\n")
	backend := g.backend
	for name, c := range map[string]struct {
		encoded string
		hers    int
	}{
		"jürgen": {"j%C3%BCrgen", 200}, "王小明": {"%E7%8E%8B%E5%B0%8F%E6%98%8E", 200}, "佐々木": {"%E4%BD%90%E3%80%85%E6%9C%A8", 403}, "Дмитрий.П": {"%D0%94%D0%BC%D0%B8%D1%82%D1%80%D0%B8%D0%B9.%D0%9F", 403},
		"dora": {"dora", 403},
	} {
		for _, p := range protocols() {
			for _, line := range []string{"Cookie: jwt=", "Authorization: Bearer "} {
				probe := backend.probe(t)
				header := []string{probe.header(), line + g.token(claims{"username": name})}
				if got := p.send(g.site, t, request{host: appHost, target: "/x", header: header}); got.status != http.StatusOK {
					t.Errorf("%s: got %v", name, got)
					continue
				}
				if seen := probe.one(); seen.value("X-User") != c.encoded || seen.value("X-User-Id") != "legacy-django:"+c.encoded {
					t.Errorf("%s: the backend received:\n%s", name, seen.head)
				}
				backend.forget(probe)
				if got := p.send(g.site, t, request{host: appHost, target: "/hers", header: header}); got.status != c.hers {
					t.Errorf("%s: got %v, want %d", name, got, c.hers)
				}
				backend.forget(probe)
			}
		}
	}
	for _, name := range []string{"ａｌｉｃｅ", "ju\u0308rgen", "\u202ealice", "al\u200bice", "a b", "dora\u00a0"} {
		if got := g.http2(t, request{host: appHost, target: "/x", header: []string{"Cookie: jwt=" + g.token(claims{"username": name})}}); got.status != http.StatusUnauthorized {
			t.Errorf("%q: got %v", name, got)
		}
	}
	raw := g.token(claims{"username": "王小明"})
	if got := g.http1(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{"Cookie: jwt=" + raw, "Origin: https://" + appHost}}); got.status != http.StatusNoContent {
		t.Errorf("signing out: got %v", got)
	}
	if got := g.http1(t, request{host: appHost, target: "/x", header: []string{"Cookie: jwt=" + raw}}); got.status != http.StatusUnauthorized {
		t.Errorf("after signing out: got %v", got)
	}
}

// TestLoopWithTheLoginPageOfSomebodyElse: it believes that somebody is signed in, and their cookie does not count here. After
// three rounds a page says why; tabs that a browser restores are no loop, and neither is a sign-in that works.
func TestLoopWithTheLoginPageOfSomebodyElse(t *testing.T) {
	t.Parallel()
	g := newForeignLoginSite(t, attackedPolicy)
	now := time.Now()
	other := legacySite{secret: []byte("another secret of thirty-two bytes, or so")}
	statuses := func(c *client, address string, n int, header ...string) (all []int, last answer) {
		for range n {
			last = c.open(address, header...)
			all = append(all, last.status)
		}
		return all, last
	}
	for name, c := range map[string]struct {
		raw, because string
	}{
		"secret":   {other.token(nil), "its signature does not match"},
		"expired":  {g.token(claims{"iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(-time.Hour).Unix()}), "it has expired"},
		"no user":  {g.token(claims{"username": "a b"}), "is not a user name"},
		"audience": {g.token(claims{"aud": "others"}), "for another site"},
		"garbage":  {"x", "issuer that this site does not know"},
	} {
		b := g.client()
		all, last := statuses(b, g.url("app", "/x?a=1"), 4, "Cookie: jwt="+c.raw)
		if fmt.Sprint(all) != "[302 302 302 409]" || !strings.Contains(last.body, c.because) || !strings.Contains(last.body, "login.viloforge.test/accounts/login?redirect_uri=") {
			t.Errorf("%s: %v, then\n%s", name, all, last.body)
		}
		if strings.Contains(last.body, c.raw) && len(c.raw) > 1 || last.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v\n%s", name, last.header, last.body)
		}
		if all, _ := statuses(b, g.url("app", "/x?a=1"), 2, "Cookie: jwt="+c.raw); fmt.Sprint(all) != "[302 302]" {
			t.Errorf("%s: after the page, somebody who tries again: %v", name, all)
		}
	}
	// What is no loop.
	b := g.client()
	if all, _ := statuses(b, g.url("app", "/tab"), 8); fmt.Sprint(all) != "[302 302 302 302 302 302 302 302]" {
		t.Errorf("eight tabs of one address: %v", all)
	}
	if got := b.open(g.url("app", "/tab")); got.status != http.StatusConflict || !strings.Contains(got.body, "no sign-in cookie") {
		t.Errorf("round after round without a cookie: %v\n%s", got, got.body)
	}
	b = g.client()
	for _, path := range []string{"/a", "/b", "/c", "/d", "/e", "/f"} {
		if all, _ := statuses(b, g.url("app", path), 3, "Cookie: jwt=x"); fmt.Sprint(all) != "[302 302 302]" {
			t.Errorf("another address: %v", all)
		}
	}
	b = g.client()
	statuses(b, g.url("app", "/x"), 3, "Cookie: jwt=x")
	if got := b.open(g.url("app", "/x"), "Cookie: jwt="+g.token(nil)); got.status != http.StatusOK {
		t.Errorf("a good cookie: %v", got)
	}
	if got := b.open(g.url("app", "/x"), "Cookie: jwt=x"); got.status != http.StatusFound {
		t.Errorf("signed in, and out again: %v", got)
	}
	if got := b.get(g.url("app", "/x"), "Accept: application/json", "Cookie: jwt=x"); got.status != http.StatusUnauthorized {
		t.Errorf("a script: %v", got)
	}
	if log := g.output.String(); !strings.Contains(log, "the cookie jwt of legacy-django is refused: signature") {
		t.Errorf("the log does not say why")
	}
}

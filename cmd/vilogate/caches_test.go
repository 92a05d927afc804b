package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// sharedCache keeps answers as RFC 9111 lets a shared cache, and Vary as it is said, for everybody who asks through it.
// What may be kept, it takes for fresh.
type sharedCache struct {
	mu   sync.Mutex
	kept map[string][]keptAnswer // guarded by mu; by URL
}

type keptAnswer struct {
	answer
	varies map[string]string // the request's values of what Vary names
}

// valueOf is what header lines have under a name.
func valueOf(header []string, name string) string {
	var values []string
	for _, line := range header {
		if n, value, _ := strings.Cut(line, ": "); strings.EqualFold(n, name) {
			values = append(values, value)
		}
	}
	return strings.Join(values, ", ")
}

// get answers from what is kept, or asks and keeps what a shared cache may.
func (c *sharedCache) get(url string, header []string, ask func() answer) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.kept[url] {
		same := true
		for name, value := range k.varies {
			same = same && valueOf(header, name) == value
		}
		if same {
			return k.answer
		}
	}
	a := ask()
	k := keptAnswer{a, map[string]string{}}
	control := strings.ToLower(strings.Join(a.header.Values("Cache-Control"), ","))
	may := !strings.Contains(control, "private") && !strings.Contains(control, "no-store") &&
		(valueOf(header, "Authorization") == "" || strings.Contains(control, "public") || strings.Contains(control, "s-maxage"))
	for name := range strings.SplitSeq(strings.Join(a.header.Values("Vary"), ","), ",") {
		name = strings.TrimSpace(name)
		may = may && name != "*"
		if name != "" {
			k.varies[name] = valueOf(header, name)
		}
	}
	if targeted := a.header.Get("CDN-Cache-Control"); targeted != "" { // RFC 9213: in place of Cache-Control
		may = !strings.Contains(targeted, "private")
	}
	if may && a.status == http.StatusOK {
		c.kept[url] = append(c.kept[url], k)
	}
	return a
}

// cachingBackend greets whom the gateway names, with the header of the answer that the query asks for, one "Name: value" each.
func cachingBackend(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, line := range r.URL.Query()["h"] {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Add(name, value)
		}
		if _, err := fmt.Fprint(w, "hello ", r.Header.Get("Remote-User")); err != nil {
			t.Logf("writing: %v", err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

const cachePolicy = `
host: app.viloforge.test
upstream: app
routes:
  - { path: /public, allow: public }
  - { path: /public-private, allow: public, default_cache_control: private }
  - { path: /optional, allow: optional }
  - { path: /as-sent, allow: authenticated, default_cache_control: none }
  - { path: /set, allow: authenticated, headers: { response: { set: { Cache-Control: "public, max-age=60" } } } }
  - { path: "/*rest", allow: authenticated }
`

func query(header ...string) string {
	var b strings.Builder
	for i, line := range header {
		b.WriteString(map[bool]string{true: "?", false: "&"}[i == 0] + "h=")
		for _, c := range []byte(line) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// shownToNobodyElse lists headers of answers that a cache before the gateway may give to whom they were made for, at most.
func shownToNobodyElse() [][]string {
	return [][]string{
		nil,
		{"Vary: X-User-Assertion", "Cache-Control: max-age=60"},
		{"Vary: Remote-User", "Cache-Control: public, s-maxage=60"},
		{"Vary: X-User-Id", "Cache-Control: public", "X-Accel-Expires: 60"},
		{"Vary: X-User-Id", "Expires: Thu, 01 Jan 2099 00:00:00 GMT"},
	}
}

// keepsNobodysPage asks a cache before the gateway for pages with such headers, in turn for each user with each credential.
func keepsNobodysPage(t *testing.T, cache string, users map[string]*client, headers [][]string) {
	t.Helper()
	for _, header := range headers {
		for name, user := range users {
			for _, line := range []string{cookieLine(user.sso()), bearer(user.sso())} {
				if a := user.get(cache+"/x"+query(header...), line); a.status != http.StatusOK || a.body != "hello "+name {
					t.Errorf("before the gateway, %q: %s got %v", header, name, a)
				}
			}
		}
	}
}

// TestCachesOutsideKeepNobodysPage: a shared cache before the gateway gives bob what was made for alice in no case in which the
// backend said that its answer varies by who asks, or said nothing.
func TestCachesOutsideKeepNobodysPage(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("\nupstreams: { app: { url: %q, identity_headers: remote-user } }\n", cachingBackend(t)),
		"policies/app.yaml": cachePolicy,
	})
	s.addUser("alice")
	s.addUser("bob")
	alice, bob := s.client().login("alice").sso(), s.client().login("bob").sso()
	for i, c := range []struct {
		target        string
		header        []string
		vary, control string // as they come out
	}{
		{"/x", []string{"Vary: X-User-Assertion", "Cache-Control: max-age=60"}, "Cookie, Authorization", "max-age=60, private"},
		{"/x", []string{"Vary: X-User-Assertion", "Cache-Control: public, max-age=60, s-maxage=600"}, "Cookie, Authorization", "max-age=60, private"},
		{"/x", []string{"Vary: X-User-Assertion", "Cache-Control: PUBLIC", "Cache-Control: S-MaxAge = 5"}, "Cookie, Authorization", "private"},
		{"/x", []string{"Vary: accept, x_user-ID", "Vary: cookie", "Cache-Control: max-age=60"}, "accept, cookie, Authorization", "max-age=60, private"},
		{"/x", []string{"Vary: X-User, coo\u212aie"}, "coo\u212aie, Cookie, Authorization", "private"},
		{"/x", []string{"Vary: Remote-User", "Expires: Thu, 01 Jan 2099 00:00:00 GMT"}, "Cookie, Authorization", "private"},
		{"/x", []string{"Vary: X-Forwarded-Email, *", "Cache-Control: public"}, "*", "private"},
		{"/x", []string{"Vary: X-WEBAUTH-USER", "Cache-Control: public"}, "Cookie, Authorization", "private"},
		{"/x", []string{"Vary: X-User", `Cache-Control: private="X-A, public", no-cache="Set-Cookie, s-maxage", max-age=60`}, "Cookie, Authorization", `no-cache="Set-Cookie, s-maxage", max-age=60, private`},
		{"/x", []string{"Vary: X-User", `Cache-Control: x="a, public, max-age=60`}, "Cookie, Authorization", "private, no-store"},
		{"/x", []string{"Vary: X-User-Roles", "Cache-Control: private", "CDN-Cache-Control: max-age=60", "Surrogate-Control: max-age=60"}, "Cookie, Authorization", "private"},
		{"/x", []string{"Vary: X-User", "Cache-Control: no-store"}, "Cookie, Authorization", "no-store, private"},
		{"/x", nil, "", "private"},
		{"/x", []string{"Vary: Accept"}, "Accept", "private"},
		{"/optional", nil, "", "private"},
		{"/public-private", nil, "", "private"},
		{"/set", []string{"Vary: X-User"}, "Cookie, Authorization", "max-age=60, private"},
		{"/public", []string{"Vary: X-User", "Cache-Control: public"}, "Cookie, Authorization", "private"},
		// What the backend says of itself stays.
		{"/x", []string{"Cache-Control: private, max-age=60"}, "", "private, max-age=60"},
		{"/x", []string{"Cache-Control: no-cache", "Vary: Cookie"}, "Cookie", "no-cache"},
		{"/x", []string{"Cache-Control: public, max-age=60", "Vary: Cookie", "CDN-Cache-Control: max-age=60"}, "Cookie", "public, max-age=60"},
		{"/x", []string{"Expires: 0"}, "", ""},
		{"/as-sent", []string{"Vary: Cookie"}, "Cookie", ""},
		{"/public", []string{"Vary: Cookie"}, "Cookie", ""},
		{"/public", []string{"Vary: X-Forwarded-Proto, Cookie", "Cache-Control: public"}, "X-Forwarded-Proto, Cookie", "public"},
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+strconv.Itoa(i), func(t *testing.T) {
				cache := &sharedCache{kept: map[string][]keptAnswer{}}
				target := c.target + query(c.header...)
				for _, who := range []struct{ name, line string }{
					{"alice", cookieLine(alice)}, {"bob", cookieLine(bob)}, {"alice", bearer(alice)}, {"bob", bearer(bob)},
				} {
					a := cache.get(target, []string{who.line}, func() answer {
						return p.send(s, t, request{host: appHost, target: target, header: []string{who.line}})
					})
					vary, control := strings.Join(a.header.Values("Vary"), ", "), strings.Join(a.header.Values("Cache-Control"), ", ")
					if a.status != http.StatusOK || vary != c.vary || control != c.control {
						t.Errorf("%d, Vary %q, Cache-Control %q; want %q and %q", a.status, vary, control, c.vary, c.control)
					}
					own := strings.HasPrefix(control, "public") || slices.Contains(c.header, "Expires: 0") // the backend takes it upon itself
					if !own && a.body != "hello "+who.name {
						t.Errorf("%s got %q", who.name, a.body)
					}
				}
			})
		}
	}
}

// TestCookiesOfTheGatewayAreNobodyElses: an answer that clears the cookies of whoever sent two sessions is no shared cache's to
// keep, whatever the backend says of the page.
func TestCookiesOfTheGatewayAreNobodyElses(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("\nupstreams: { app: { url: %q, identity_headers: remote-user } }\n", cachingBackend(t)),
		"policies/app.yaml": cachePolicy,
	})
	s.addUser("alice")
	two := cookieLine(s.client().login("alice").sso()) + "; " + ssoCookie + "=" + s.client().login("alice").sso()
	target := "/public" + query("Cache-Control: public, max-age=3600", "CDN-Cache-Control: max-age=60")
	for _, p := range protocols() {
		got := p.send(s, t, request{host: appHost, target: target, header: []string{two}})
		if got.status != http.StatusOK || len(got.header.Values("Set-Cookie")) == 0 || got.header.Get("Cache-Control") != "max-age=3600, private" || got.header.Get("CDN-Cache-Control") != "" {
			t.Errorf("%s: %v", p.name, got)
		}
	}
}

// TestVaryNamesTheHeadersOfIssuers: where a proxy before the gateway sends tokens in a header, a cache there is told of it too.
func TestVaryNamesTheHeadersOfIssuers(t *testing.T) {
	t.Parallel()
	g := legacySite{secret: []byte("the JWT_SECRET of the guide's services")}
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
tokens: { issuers: [ { name: legacy-django, secret: %q, header: X-Legacy-Token, claims: { user: username } } ] }
upstreams: { app: { url: %q, identity_headers: remote-user } }
`, string(g.secret), cachingBackend(t)),
		"policies/app.yaml": cachePolicy,
	})
	for _, p := range protocols() {
		for said, want := range map[string]string{
			"X-User-Assertion": "Cookie, Authorization, X-Legacy-Token", "x-legacy-token, Cookie": "Cookie, Authorization, X-Legacy-Token", "Cookie": "Cookie",
		} {
			a := p.send(s, t, request{host: appHost, target: "/x" + query("Vary: "+said, "Cache-Control: max-age=60"), header: []string{"X-Legacy-Token: " + g.token(nil)}})
			if vary := a.header.Get("Vary"); a.status != http.StatusOK || vary != want {
				t.Errorf("%s, %q: %d, Vary %q, want %q", p.name, said, a.status, vary, want)
			}
		}
	}
}

package main_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// nginxCache starts an nginx that keeps whatever it may, and for a minute where nothing is said, in front of an address. more
// is of its location.
func nginxCache(t *testing.T, address, more string) string {
	t.Helper()
	dir, listen := t.TempDir(), freeAddress(t)
	writeFiles(t, dir, map[string]string{"nginx.conf": fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  proxy_cache_path %[1]s/cache keys_zone=all:1m;
  server {
    listen %[2]s;
    location / {
      proxy_pass %[3]s; proxy_http_version 1.1; proxy_set_header Host app.viloforge.test;
      proxy_cache all; proxy_cache_valid 200 1m; add_header X-Cache $upstream_cache_status;
      %[4]s
    }
  }
}
`, dir, listen, address, more)})
	launch(t, dir, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, program(t, "nginx", "nginx-light"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	eventually(t, "nginx answers", func() bool {
		r, err := http.Get("http://" + listen + "/nothing")
		if err != nil {
			return false
		}
		closeQuietly(t, r.Body)
		return true
	})
	return "http://" + listen
}

// TestCachesOfNginx: nginx before the gateway keeps nobody's page, whatever its configuration has as a default, and between the
// gateway and a backend it keeps one for each person where it is set up as the kits' READMEs say, or the backend says Vary.
func TestCachesOfNginx(t *testing.T) {
	t.Parallel()
	backend := cachingBackend(t)
	byVary, byKey := nginxCache(t, backend, "proxy_set_header Accept-Encoding '';"), nginxCache(t, backend, `proxy_cache_key "$host$request_uri$http_x_user_id";`)
	policy := func(host string) string {
		return fmt.Sprintf("host: %s.viloforge.test\nupstream: %s\nroutes:\n  - { path: /public, allow: public }\n  - { path: \"/*rest\", allow: authenticated }\n", host, host)
	}
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf(`
upstreams:
  app: { url: %q, identity_headers: remote-user }
  vary: { url: %q, identity_headers: remote-user }
  key: { url: %q, identity_headers: remote-user }
`, backend, byVary, byKey),
		"policies/app.yaml": policy("app"), "policies/vary.yaml": policy("vary"), "policies/key.yaml": policy("key"),
	})
	s.addUser("alice")
	s.addUser("bob")
	users := map[string]*client{"alice": s.client().login("alice"), "bob": s.client().login("bob")}
	before := nginxCache(t, "https://"+s.at.HTTPS, "proxy_ssl_server_name on; proxy_ssl_name app.viloforge.test;")
	plain := s.client()
	keepsNobodysPage(t, before, users, shownToNobodyElse())
	for _, header := range shownToNobodyElse() {
		for name, user := range users {
			if a := user.get(s.url("key", "/x"+query(header...))); a.body != "hello "+name {
				t.Errorf("behind the gateway, by key, %q: %s got %v", header, name, a)
			}
			if a := user.get(s.url("vary", "/x"+query(header...))); header != nil && a.body != "hello "+name {
				t.Errorf("behind the gateway, by Vary, %q: %s got %v", header, name, a)
			}
		}
	}
	// What is for everybody is kept, and what is one person's is kept for them behind the gateway: else this would show nothing.
	for _, c := range []struct {
		from    *client
		address string
	}{
		{plain, before + "/public" + query("Cache-Control: public, max-age=60")},
		{users["bob"], s.url("key", "/y"+query("Cache-Control: max-age=60"))},
		{users["bob"], s.url("vary", "/y"+query("Vary: X-User-Id", "Cache-Control: max-age=60"))},
	} {
		c.from.get(c.address)
		if a := c.from.get(c.address); a.header.Get("X-Cache") != "HIT" {
			t.Errorf("%s is not kept: %v", c.address, a)
		}
	}
}

// TestACacheInFrontKeepsNoRenewedCookie: an answer that everybody may have, as its backend says, and that brings one browser the
// successor of its expired token, is kept by no cache before the gateway, also by one that keeps answers with cookies. The
// same answer without a new cookie is.
func TestACacheInFrontKeepsNoRenewedCookie(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + strings.Replace(ownIdP, "ttl: 1h", "ttl: 3s, renewal_grace: 1h", 1) + fmt.Sprintf("\nupstreams: { app: { url: %q, identity_headers: remote-user } }\n", cachingBackend(t)),
		"policies/app.yaml": cachePolicy,
	})
	s.addUser("alice")
	s.addUser("bob")
	alice, bob := s.client().login("alice"), s.client().login("bob")
	old := alice.sso()
	expire(t, bob.sso())
	cache := nginxCache(t, "https://"+s.at.HTTPS, "proxy_ssl_server_name on; proxy_ssl_name app.viloforge.test; proxy_ignore_headers Set-Cookie Vary;")
	stranger, tries := s.client(), 0
	another := func(header ...string) string { // an address that the cache does not know
		tries++
		return fmt.Sprintf("%s/%d", cache, tries) + query(header...)
	}
	for _, header := range [][]string{
		{"Cache-Control: public, max-age=60"},
		{"Cache-Control: public, max-age=60, s-maxage=600, stale-while-revalidate=60"},
		{"Cache-Control: public, max-age=60", "X-Accel-Expires: 60"},
		{"Cache-Control: public, max-age=60", "Surrogate-Control: max-age=60", "CDN-Cache-Control: public, max-age=60"},
		{"Expires: Thu, 01 Jan 2099 00:00:00 GMT"},
		{"X-Accel-Expires: 60"},
		nil,
	} {
		eventually(t, fmt.Sprintf("%q: both are given a successor in time", header), func() bool {
			address := another(header...)
			first := alice.get(address, cookieLine(old))
			switch {
			case isLate(first), first.status == http.StatusOK && first.body == "hello alice" && setSSO(first) == "":
				return false
			case first.status != http.StatusOK || first.body != "hello alice":
				t.Fatalf("%q: with an expired token: %v", header, first)
			}
			if got := stranger.get(address); got.status != http.StatusUnauthorized || setSSO(got) != "" {
				t.Errorf("%q: a stranger after that: %v", header, got)
			}
			got := bob.get(address, cookieLine(bob.sso()))
			next := setSSO(got)
			if !isLate(got) && (got.body != "hello bob" || next != "" && claimsIn(t, next).SID != claimsIn(t, bob.sso()).SID) {
				t.Fatalf("%q: bob after that: %v", header, got)
			}
			return next != ""
		})
	}
	eventually(t, "a young token is renewed for nobody", func() bool {
		address, sso := another("Cache-Control: public, max-age=60"), alice.fresh().login("alice").sso()
		for _, want := range []string{"MISS", "HIT"} {
			got := alice.get(address, cookieLine(sso))
			if want == "MISS" && (isLate(got) || setSSO(got) != "") {
				return false // it has grown old on the way
			}
			if got.status != http.StatusOK || got.header.Get("X-Cache") != want || setSSO(got) != "" {
				t.Errorf("what is renewed for nobody, want a %s: %v", want, got)
			}
		}
		return true
	})
}

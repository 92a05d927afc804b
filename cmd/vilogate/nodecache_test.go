package main_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
)

// nodeCache starts a cache of Node's before the site, private or shared: testdata/node/cache.js.
func nodeCache(t *testing.T, s *site, kind string) string {
	t.Helper()
	script, err := filepath.Abs(filepath.Join("testdata", "node", "cache.js"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cache := launch(t, dir, []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "TMPDIR=" + dir},
		program(t, "node", "npm"), script, program(t, "npm", "npm"), kind, s.at.HTTPS, s.at.CA, filepath.Join(dir, "cache"))
	var port int
	eventually(t, "the cache listens", func() bool {
		_, err := fmt.Sscanf(cache.output.String(), "cache of "+kind+" at %d", &port)
		return err == nil || !cache.running()
	})
	if port == 0 {
		t.Fatalf("the cache ended: %v", cache.err)
	}
	return fmt.Sprintf("http://127.0.0.1:%d", port)
}

// TestCachesOfNode: what Node programs keep by RFC 9111, as a cache before the gateway or as one cache of a program that asks
// for many people, is given to nobody else, and what may be kept is.
func TestCachesOfNode(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("\nupstreams: { app: { url: %q, identity_headers: remote-user } }\n", cachingBackend(t)),
		"policies/app.yaml": cachePolicy,
	})
	s.addUser("alice")
	s.addUser("bob")
	users := map[string]*client{"alice": s.client().login("alice"), "bob": s.client().login("bob")}
	plain := s.client()
	longUnchanged := []string{"Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT"} // fresh for years, as far as a cache can tell
	for kind, headers := range map[string][][]string{
		"shared": append(shownToNobodyElse(), longUnchanged),
		// A private cache that many use may keep private answers: it can tell people apart where the backend says Vary.
		"private": append(shownToNobodyElse(), append([]string{"Vary: X-User-Id"}, longUnchanged...)),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cache := nodeCache(t, s, kind)
			keepsNobodysPage(t, cache, users, headers)
			// What the gateway adds to a public page for one person is no other's.
			two := cookieLine(users["alice"].sso()) + "; " + ssoCookie + "=" + s.client().login("alice").sso()
			target := cache + "/public" + query("Cache-Control: public, max-age=3600")
			if a := plain.get(target, two); a.status != http.StatusOK || len(a.header.Values("Set-Cookie")) == 0 {
				t.Errorf("two sessions: %v", a)
			}
			if a := plain.get(target); len(a.header.Values("Set-Cookie")) != 0 {
				t.Errorf("cookies of somebody else: %v", a)
			}
			// What is for everybody is kept for everybody, and by a private cache what is one person's for them: else this
			// would show nothing.
			everybodys, own := cache+"/public"+query("Cache-Control: public, max-age=60"), cache+"/y"+query("Vary: X-User-Id", "Cache-Control: max-age=60")
			plain.get(everybodys)
			if a := plain.get(everybodys); a.status != http.StatusOK || a.header.Get("X-Cache") != "HIT" {
				t.Errorf("a public page is not kept: %v", a)
			}
			bob := cookieLine(users["bob"].sso())
			plain.get(own, bob)
			want := map[string]string{"private": "HIT", "shared": "MISS"}[kind]
			if a := plain.get(own, bob); a.body != "hello bob" || a.header.Get("X-Cache") != want {
				t.Errorf("bob's own page: %v, want %s", a, want)
			}
		})
	}
}

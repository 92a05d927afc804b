package django_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestCachedPagesAreOnePersons: cache_page, the remedies of Django's own included, and
// the cache of a whole site keep a page for whom it was made.
func TestCachedPagesAreOnePersons(t *testing.T) {
	t.Parallel()
	g := newSigner(t)
	for name, settings := range map[string]string{"by view": "demo.settings", "whole site": "demo.cached_settings"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := g.start(t, "DJANGO_SETTINGS_MODULE="+settings)
			s := behindGateway(t, g, backend)
			dora, erik := "jwt="+guideTokenOf(t, "dora"), "jwt="+guideTokenOf(t, "erik")
			for _, path := range []string{"/cached", "/cached-by-cookie", "/cached-public", "/hello"} {
				for user, cookie := range map[string]string{"dora": dora, "erik": erik} {
					for range 2 {
						got := s.send(http.MethodGet, path, http.Header{"Cookie": {cookie}}, "")
						got.want(t, http.StatusOK)
						if got.body != "hello "+user {
							t.Errorf("%s for %s: %s", path, user, got.body)
						}
						outside(t, path, got)
					}
				}
				if got := s.send(http.MethodGet, path, nil, ""); path == "/cached-public" && got.body != "hello stranger" || path != "/cached-public" && got.status != http.StatusUnauthorized {
					t.Errorf("%s for nobody: %d %s", path, got.status, got.body)
				}
				// Who reaches the service without the gateway finds no page by an assertion that does not count.
				for _, bad := range []string{"", "forged", newSigner(t).assert(nil)} {
					if got := backend.get(path, bad); got.body != "hello stranger" && got.status != http.StatusUnauthorized {
						t.Errorf("%s by %.10q: %d %s", path, bad, got.status, got.body)
					}
				}
			}
			first := backend.get("/hello", g.assert(nil)).header.Get("Expires")
			if name == "whole site" && first == "" {
				t.Error("the site's cache keeps nothing, so that this shows nothing")
			}
		})
	}
}

// outside holds an answer to what a cache before the gateway has to be told.
func outside(t *testing.T, path string, got answer) {
	t.Helper()
	vary, control := strings.Join(got.header.Values("Vary"), ", "), got.header.Get("Cache-Control")
	if strings.Contains(vary, "Assertion") || !strings.Contains(vary, "Cookie") || !strings.Contains(vary, "Authorization") || !strings.Contains(control, "private") {
		t.Errorf("%s: Vary %q, Cache-Control %q", path, vary, control)
	}
}

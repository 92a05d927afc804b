package main_test

import (
	"crypto"
	"net/http"
	"strings"
	"testing"
	"time"
)

const passHost = "pass.viloforge.test"

// applicationTokens are tokens of an application's own: no issuer that is configured could have made them.
func applicationTokens(t *testing.T) map[string]string {
	stranger := newSigner(t)
	now := time.Now()
	return map[string]string{
		"opaque": "ghp_0123456789abcdef", "with a bar": "7|0123456789abcdef", "base64": "YWxpY2U6cGFzcw==",
		"a JWT": stranger.sign(stranger.header(claims{"typ": "JWT"}), claims{"iss": "node-red", "sub": "x", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}.json()),
		"a JWE": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAA.AAAA.AAAA",
	}
}

// TestApplicationTokensBesideACookie: with bearer: pass a page may send its backend a Bearer token of the backend's own; who
// asks is whoever the cookie says, with all that goes for cookies, and what could be a login of ours is judged as ever.
func TestApplicationTokensBesideACookie(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	cookie := cookieLine(x.ownToken(nil))
	app := applicationTokens(t)
	for _, p := range protocols() {
		ask := func(t *testing.T, probe probe, method, target string, header ...string) answer {
			t.Helper()
			return p.send(x.site, t, request{method: method, host: passHost, target: target, header: append([]string{probe.header()}, header...)})
		}
		for name, raw := range app {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				for _, line := range []string{bearer(raw), "authorization: bEARER  " + raw} {
					probe := x.backend.probe(t)
					if got := ask(t, probe, "GET", "/x", cookie+"; a=1", line); got.status != http.StatusOK {
						t.Fatalf("%s: got %v", line, got)
					}
					seen := probe.one()
					_, sent, _ := strings.Cut(line, ": ")
					if seen.value("Authorization") != sent || seen.value("X-User") != "alice" || seen.value("Cookie") != "a=1" || seen.value("X-User-Assertion") == "" {
						t.Errorf("the backend received:\n%s", seen.head)
					}
					x.backend.forget(probe)
				}
				probe := x.backend.probe(t)
				if got := ask(t, probe, "GET", "/public/x", cookie, bearer(raw)); got.status != http.StatusOK {
					t.Fatalf("public: got %v", got)
				}
				if seen := probe.one(); seen.value("Authorization") != "Bearer "+raw || seen.value("X-User") != "alice" {
					t.Errorf("public: the backend received:\n%s", seen.head)
				}
			})
		}
		t.Run(p.name+"/refused", func(t *testing.T) {
			t.Parallel()
			opaque := bearer(app["opaque"])
			own, now := x.ownToken(nil), time.Now()
			noISS := hs(crypto.SHA256, []byte("another secret of thirty-two bytes, or so"), `{"alg":"HS256"}`,
				claims{"username": "dora", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}.json())
			for name, c := range map[string]struct {
				method, target string
				header         []string
				status         int
				problem        string
			}{
				"without the cookie":    {"GET", "/x", []string{opaque}, 401, "/invalid-token"},
				"with a bad cookie":     {"GET", "/x", []string{cookieLine(x.ownToken(claims{"exp": now.Unix()})), opaque}, 401, "/invalid-token"},
				"optional, no cookie":   {"GET", "/optional", []string{opaque}, 401, "/invalid-token"},
				"verify":                {"GET", "/strict", []string{cookie, opaque}, 401, "/invalid-token"},
				"bearer: only":          {"GET", "/machine", []string{cookie, opaque}, 401, "/invalid-token"},
				"the cookie's roles":    {"GET", "/admin", []string{cookie, opaque}, 403, "/forbidden"},
				"from another site":     {"POST", "/x", []string{cookie, opaque, "Origin: https://evil.example", "Content-Length: 0"}, 403, "/csrf"},
				"from nowhere":          {"POST", "/x", []string{cookie, opaque, "Content-Length: 0"}, 403, "/csrf"},
				"ours, expired":         {"GET", "/x", []string{cookie, bearer(x.ownToken(claims{"exp": now.Unix()}))}, 401, "/invalid-token"},
				"ours, cut":             {"GET", "/x", []string{cookie, bearer(own[:len(own)-9])}, 401, "/invalid-token"},
				"ours, of another key":  {"GET", "/x", []string{cookie, bearer(newSigner(t).sign(x.own.header(nil), good("carol", nil).json()))}, 401, "/invalid-token"},
				"partner's, of another": {"GET", "/x", []string{cookie, bearer(x.partnerToken(claims{"aud": "others"}))}, 401, "/invalid-token"},
				"the gateway's":         {"GET", "/x", []string{cookie, bearer(x.ownToken(claims{"iss": "https://viloforge.test"}))}, 401, "/invalid-token"},
				"without iss":           {"GET", "/x", []string{cookie, bearer(noISS)}, 401, "/invalid-token"},
				"two lines":             {"GET", "/x", []string{cookie, opaque, bearer(own)}, 400, "/malformed"},
				"two in a line":         {"GET", "/x", []string{cookie, opaque + ", Bearer " + own}, 401, "/invalid-token"},
				"two words":             {"GET", "/x", []string{cookie, opaque + " " + own}, 401, "/invalid-token"},
				"in quotation marks":    {"GET", "/x", []string{cookie, bearer(`"` + own + `"`)}, 401, "/invalid-token"},
				"none at all":           {"GET", "/x", []string{cookie, "Authorization: Bearer"}, 401, "/invalid-token"},
			} {
				probe := x.backend.probe(t)
				got := ask(t, probe, c.method, c.target, c.header...)
				if got.status != c.status || c.problem != "" && !strings.HasSuffix(got.problem(t).Type, c.problem) {
					t.Errorf("%s: got %v, want %d %s", name, got, c.status, c.problem)
				}
				probe.none()
			}
		})
		t.Run(p.name+"/as ever", func(t *testing.T) {
			t.Parallel()
			for name, c := range map[string]struct {
				method, target     string
				header             []string
				who, authorization string
			}{
				"our Bearer counts, not the cookie": {"GET", "/x", []string{cookie, bearer(x.partnerToken(nil))}, "partner:pat", ""},
				"Basic passes":                      {"GET", "/x", []string{cookie, "Authorization: Basic YTpi"}, "alice", "Basic YTpi"},
				"public, no cookie":                 {"GET", "/public/x", []string{bearer(app["opaque"])}, "", "Bearer " + app["opaque"]},
				"public, from another site":         {"POST", "/public/x", []string{cookie, bearer(app["opaque"]), "Origin: https://evil.example", "Content-Length: 0"}, "", "Bearer " + app["opaque"]},
				"from the site's own page":          {"POST", "/x", []string{cookie, bearer(app["opaque"]), "Origin: https://" + passHost, "Content-Length: 0"}, "alice", "Bearer " + app["opaque"]},
				"optional":                          {"GET", "/optional", []string{cookie, bearer(app["opaque"])}, "alice", "Bearer " + app["opaque"]},
			} {
				probe := x.backend.probe(t)
				if got := ask(t, probe, c.method, c.target, c.header...); got.status != http.StatusOK {
					t.Errorf("%s: got %v", name, got)
					continue
				}
				if seen := probe.one(); seen.value("X-User") != c.who || seen.value("Authorization") != c.authorization {
					t.Errorf("%s: the backend received:\n%s", name, seen.head)
				}
				x.backend.forget(probe)
			}
			// Our own token, dressed as nobody's, goes no further.
			own := x.ownToken(claims{"exp": time.Now().Unix()})
			for _, dressed := range []string{own + "..", "." + own, `"` + own + `"`, "," + own, "Bearer " + own, app["opaque"] + " " + own, app["opaque"] + "," + own} {
				for _, beside := range [][]string{nil, {cookie}} {
					probe := x.backend.probe(t)
					switch got := ask(t, probe, "GET", "/public/x", append(beside, bearer(dressed))...); {
					case got.status == http.StatusUnauthorized:
						probe.none()
					case got.status != http.StatusOK:
						t.Errorf("%.20s: got %v", dressed, got)
						continue
					default:
						if seen := probe.one(); seen.value("Authorization") != "" {
							t.Errorf("%.20s: the backend received:\n%s", dressed, seen.head)
						}
					}
					x.backend.forget(probe)
				}
			}
			// A public route that does not say so: the token passes, and nobody is known, as before.
			probe := x.backend.probe(t)
			if got := p.send(x.site, t, request{host: appHost, target: "/public/x", header: []string{probe.header(), cookie, bearer(app["opaque"])}}); got.status != http.StatusOK {
				t.Fatalf("got %v", got)
			}
			seen := probe.one()
			if assertAnonymous(t, seen); seen.value("Authorization") != "Bearer "+app["opaque"] {
				t.Errorf("the backend received:\n%s", seen.head)
			}
		})
	}
}

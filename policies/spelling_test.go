package policies

import (
	"strings"
	"testing"
)

const spelt = `
host: website.viloforge.com
upstream: website
routes:
  - { path: "/rooms/:alias", allow: public, encoded_hash: allow }
  - { path: "/job/*rest", allow: public, double_encoding: allow }
  - { path: /job/secret, allow: deny }
  - { path: "/repo/:name/*rest", allow: public, double_encoding: allow, encoded_backslash: allow, encoded_slash: allow, encoded_hash: allow, semicolon: allow, double_slash: allow }
  - { path: "/repo/:name/settings", allow: deny }
  - { path: "/share/*rest", allow: public, encoded_backslash: allow }
  - { path: "/share/admin/*rest", allow: deny }
  - { path: "/any/*rest", allow: public, double_encoding: allow, encoded_backslash: allow, semicolon: allow, double_slash: allow }
  - { path: /any/admin, allow: deny }
  - { path: "/par/*rest", allow: public, double_encoding: allow, encoded_backslash: allow, semicolon: allow, double_slash: allow }
  - { path: "/par/:x/y", allow: deny }
  - { path: "/file/:name", allow: public, double_encoding: allow, encoded_backslash: allow }
  - { path: "/mine/*rest", allow: { optional: true, when: 'request.params.rest != "secret/x"' }, double_encoding: allow, encoded_backslash: allow }
  - { path: "/plain/*rest", allow: public }
  - { path: "/*rest", allow: public, double_encoding: allow, encoded_backslash: allow, encoded_hash: allow }
  - { path: /admin, allow: deny }
`

// TestPermittedSpellings: each permission opens its own spelling, on its route alone; and where servers differ that decode
// further or take \ for /, all of them have to come to the same route, by what its conditions have read.
func TestPermittedSpellings(t *testing.T) {
	t.Parallel()
	for _, paths := range []string{"", "paths: case-insensitive\n"} {
		h := compile(t, strings.Replace(spelt, "routes:", paths+"routes:", 1))
		for want, targets := range map[Outcome][]string{
			Allow: {
				"/rooms/%23a", "/rooms/C%23%20notes.txt", "/job/a/release%252F1.12.1/5/", "/job/release%252f1", "/job/a%25252Fb", "/job/a/secret%252Fx", "/job/x%252Fsecret",
				"/share/a%5Cb", "/share/a/x%5Cadmin", "/share/a%5c", "/repo/x/a%252Fsettings", "/repo/x/a%5Csettings", "/repo/x/a%255Cb%2523", "/repo/x/y/settings%252F",
				"/any/x%5Cadmin", "/any//x%252Fadmin", "/any/%5Cx", "/par/", "/file/x%2541", "/file/100%25", "/repo/a%2Fb/c", "/mine/100%25", "/mine/a", "/x%2541%5Cy", "/C%23", "/admin%23x", "/x%252Fadmin",
			},
			BadRequest: {
				// without its permission
				"/rooms/a%5Cb", "/rooms/a%252Fb", "/rooms/%2523a", "/job/a%23", "/job/a%5Cb", "/job/a%255Cb", "/job/a%2523", "/share/a%23", "/share/a%252Fb", "/share/a%255Cb",
				"/plain/C%23", "/plain/a%5Cb", "/plain/a%252Fb", "/plain/%2523", "/job/%252Fa", "/share/%5Ca", "/share/a%5C%5Cb", "//C%23",
				// for another route
				"/job%252Fsecret", "/job/secret%252F", "/job/secre%2574", "/job/secret%252Fx", "/%2561dmin", "/admin%5C", "/admin%252F", "/admin%5Cx", "/admin%253Bx", "/share/%2561dmin/x",
				"/share/admin%5Cx", "/x/%5C../admin", "/job%5Cx",
				// for other segments of the pattern
				"/repo/x%5Csettings", "/repo/x%252Fsettings", "/repo/a%5Cb/settings", "/repo/a%5Cb%252Fsettings", "/repo/a%25252Fb%252Fsettings", "/repo/a%2Fb%5Csettings",
				"/any/%5C/admin", "/any/%5Cadmin", "/any/%5C%252F%5Cadmin/x", "/any/;x%252Fadmin", "/any/%253Bx/admin", "/any/;%5C/admin",
				"/par/;z%252Fa%252Fy", "/par/%5C;z%252Fa/y", "/par/;z%5C",
				"/repo/;x%252Fa/settings/b", "/repo/a;%255Cb/c", "/repo/%5C/a/settings", "/file/a%252Fb", "/file/a%5Cb", "/repo/x/%2573ettings",
				// another path than a condition reads
				"/mine/secret%252Fx", "/mine/secret%5Cx", "/mine/secret/%2578", "/mine/a%5Cb",
				// whatever is permitted
				"/share/..%5C", "/share/%2e%2e%5c", "/repo/x/%252e%252e", "/repo/x/%25252e%2525252e", "/repo/x/a%5c..%5cb", "/repo/x/a%252f..%255cb", "/repo/x/..%23", "/repo/x/..%2523",
				"/repo/x/a#", "/repo/x/a\\b", "/repo/x/%2500", "/repo/x/a%5C%2500", "/repo/x/%00", "/repo/x/%255C%252e%252e", "/repo/x/..;%5Cb",
				// the gateway's own paths
				"/.vilogate%5Cme", "/.vilogate%252Fme", "/.vilogate%23/me", "/.%2576ilogate/me", "/%255C.vilogate/me", "/.well-known%5Cvilogate/jwks.json", "/.well-known/vilogate%2523",
			},
		} {
			for _, target := range targets {
				if got := ask(h, Request{Method: "GET", Host: h.Host, Target: target, Header: Fields{}}); got.Outcome != want || want == BadRequest && got.Reason == "" {
					t.Errorf("%s (%s): %v, %s (%s); want %v", target, h.Paths(), got.Outcome, got.Reason, got.Match.Pattern, want)
				}
			}
		}
	}
	folding := compile(t, strings.Replace(spelt, "routes:", "paths: case-insensitive\nroutes:", 1))
	for _, target := range []string{
		"/%2541DMIN", "/ADMIN%5C", "/job/SECRE%2554", "/REPO/x/%2553ettings", "/share/ADMIN%5Cx", "/.VILOGATE%5Cme", "/.%2556ilogate/me", "/share/a.%5Cb", "/share/x%5Cb%20", "/share/x%5Cb::$DATA",
		"/share/%25C5%25BF",
	} {
		if got := ask(folding, Request{Method: "GET", Host: folding.Host, Target: target, Header: Fields{}}); got.Outcome != BadRequest {
			t.Errorf("%s, where case is folded: %v, %s", target, got.Outcome, got.Reason)
		}
	}
}

// TestTheReasonNamesThePermission that is missing, and what servers would disagree about.
func TestTheReasonNamesThePermission(t *testing.T) {
	t.Parallel()
	h := compile(t, spelt)
	for target, want := range map[string]string{
		"/plain/%255C": "(double_slash, double_encoding, encoded_backslash)", "/plain/C%23": "(encoded_hash)",
		"/job/secret%252Fx": reasonOtherRoute, "/mine/secret%5Cx": reasonReadsPath,
	} {
		if got := ask(h, Request{Method: "GET", Host: h.Host, Target: target, Header: Fields{}}); !strings.HasSuffix(got.Reason, want) {
			t.Errorf("%s: %q, want %q", target, got.Reason, want)
		}
	}
	preflight := Request{Method: "OPTIONS", Host: h.Host, Header: Fields{"Origin": {"https://a.example"}, "Access-Control-Request-Method": {"GET"}}}
	cors := compile(t, strings.Replace(spelt, "routes:", "cors: { origins: [\"*\"] }\nroutes:", 1))
	for target, want := range map[string]Outcome{"/job/a%252Fb": Allow, "/job/secret%252Fx": Deny, "/job/a%23": Deny} {
		preflight.Target = target
		if got := ask(cors, preflight); got.Kind != CORSPreflight || got.Outcome != want {
			t.Errorf("a preflight for %s: %v, %v", target, got.Kind, got.Outcome)
		}
	}
}

// TestTheLoginHostTakesNoOddSpellings, whatever its routes would permit.
func TestTheLoginHostTakesNoOddSpellings(t *testing.T) {
	t.Parallel()
	set, err := Compile([]File{{"a.yaml", []byte(spelt)}}, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/login%23", "/a%5Cb", "/a%252Fb", "/a%2523"} {
		if got := ask(set, Request{Method: "GET", Host: testOptions.LoginHost, Target: target, Header: Fields{}}); got.Kind != LoginHost || got.Outcome != BadRequest {
			t.Errorf("%s: %v, %v", target, got.Kind, got.Outcome)
		}
	}
}

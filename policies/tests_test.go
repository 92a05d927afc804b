package policies

import (
	"strings"
	"testing"
)

const testable = `
host: website.viloforge.com
upstream: website
cors: { origins: ["https://app.viloforge.com"], credentials: true }
routes:
  - { path: /about, methods: [GET, POST], allow: public }
  - { path: "/:page", allow: { mfa: 15m }, rate: 2/m per user }
  - { path: /hours, allow: { when: 'request.time.getHours() < 18' } }
  - { path: /office, allow: { networks: [10.0.0.0/8] } }
  - { path: /form, methods: [POST], allow: authenticated, csrf: { exempt: ["https://forms.example"] } }
  - { path: /socket, allow: authenticated, websocket: true }
  - { path: /claim, allow: { claims: { department: finance }, when: 'token.claims.org.units[0] == "it" && token.claims.level == 3' } }
  - { path: /mail, allow: { email_domains: [viloforge.com] } }
  - { path: /header, allow: { when: 'request.headers["x-a"] == "1"' } }
`

// TestWhatTheGatewayAnswersItself is no matter of the policies, and reaches no backend, whatever they list.
func TestWhatTheGatewayAnswersItself(t *testing.T) {
	t.Parallel()
	compile(t, `host: website.viloforge.com
upstream: website
routes:
  - { path: "/*rest", allow: public, semicolon: allow, double_slash: allow, encoded_slash: allow }
tests:
  - { get: /.vilogate/me, expect: login, rule: none }
  - { get: /.vilogate/me, as: { user: alice }, expect: allow, rule: none }
  - { post: /.vilogate/me, as: { user: alice }, expect: deny, rule: none }
  - { post: /.vilogate/logout, as: { user: alice, by: cookie }, expect: deny, rule: none }
  - { post: /.vilogate/logout, as: { user: alice }, headers: { Sec-Fetch-Site: same-origin }, expect: allow, rule: none }
  - { post: /.vilogate/remove-cookies, expect: deny, rule: none }
  - { post: /.vilogate/remove-cookies, headers: { Sec-Fetch-Site: cross-site, Origin: "https://evil.example" }, expect: deny, rule: none }
  - { post: /.vilogate/remove-cookies, headers: { Sec-Fetch-Site: same-origin }, expect: allow, rule: none }
  - { get: /.vilogate/remove-cookies, headers: { Sec-Fetch-Site: same-origin }, expect: deny, rule: none }
  - { post: /.vilogate/nothing, expect: deny, rule: none }
  - { get: /.vilogate, expect: deny, rule: none }
  - { get: /.well-known/vilogate/jwks.json, expect: allow, rule: none }
  - { get: //.vilogate/me, expect: bad-request }
  - { get: /.vilogate;x/me, expect: bad-request }
  - { get: /.vilogate%2Fme, expect: bad-request }
  - { get: /.vilogates, expect: allow }
  - { get: /.well-known/vilogate, expect: deny, rule: none }
  - { get: /.well-known/vilogate/x, expect: deny, rule: none }
  - { get: /.well-known/vilogates, expect: allow }
`)
	h := compile(t, "host: website.viloforge.com\nupstream: website\nroutes: [{ path: /, allow: public }]\n")
	for _, method := range []string{"TRACE", "CONNECT", "TRACK"} {
		if a := ask(h, Request{Method: method, Host: "website.viloforge.com", Target: "/"}); a.Outcome == Allow {
			t.Errorf("%s: %v", method, a)
		}
	}
}

// TestGoodTestsOfEverything: what a test can say about a request, and each outcome that it can expect.
func TestGoodTestsOfEverything(t *testing.T) {
	t.Parallel()
	compile(t, testable+`
tests:
  - { get: /x, as: { auth_age: 3d, mfa_age: 1m }, expect: allow, rule: "/:page" }
  - { get: /x, as: { mfa_age: 1h }, expect: step-up, rule: "/:page" }
  - { get: /x, as: { auth_age: 2h }, expect: step-up, rule: "/:page" } # the second factor was at the login, as live
  - { get: /x, as: { amr: [pwd] }, expect: step-up }
  - { get: /x, as: { amr: [pwd], mfa_age: 1m }, expect: allow }
  - { get: /x, as: { amr: [pwd, mfa], auth_age: 1h, mfa_age: 1h }, expect: step-up }
  - { get: /x, as: {}, times: 2, expect: allow }
  - { get: /x, as: {}, times: 3, expect: limit }
  - { get: /x, as: {}, expect: limit }
  - { get: /x, times: 3, expect: login }
  - { get: /hours, at: 2030-01-02T17:59:59Z, as: {}, expect: allow }
  - { get: /hours, at: "2030-01-02T19:30:00+02:00", as: {}, expect: allow }
  - { get: /hours, at: 2030-01-02T18:00:00Z, as: {}, expect: deny }
  - { get: /office, as: {}, ip: 10.1.2.3, expect: allow }
  - { get: /office, as: {}, ip: "2001:db8::1", expect: deny }
  - { get: /office, ip: 10.1.2.3, expect: login }
  - { post: /form, as: {}, expect: allow }
  - { post: /form, as: { by: cookie }, expect: deny }
  - { post: /form, as: {}, headers: { Sec-Fetch-Site: same-origin }, expect: allow }
  - { post: /form, as: {}, headers: { Sec-Fetch-Site: same-site, Origin: "https://evil.viloforge.com" }, expect: deny }
  - { post: /form, as: {}, headers: { Origin: "https://website.viloforge.com" }, expect: allow }
  - { post: /form, as: {}, headers: { Origin: "https://app.viloforge.com" }, expect: allow }
  - { post: /form, as: {}, headers: { Origin: "https://forms.example" }, expect: allow }
  - { post: /form, as: { by: bearer }, headers: { Origin: "https://evil.example" }, expect: allow }
  - { post: /about, as: {}, headers: { Origin: "https://evil.example" }, expect: allow }
  - { get: /socket, as: {}, headers: { Upgrade: websocket, Origin: "https://evil.example" }, expect: deny }
  - { get: /socket, as: {}, headers: { upgrade: WebSocket, Origin: "https://app.viloforge.com" }, expect: allow }
  - { options: /form, headers: { Origin: "https://app.viloforge.com", Access-Control-Request-Method: POST, Access-Control-Request-Headers: "content-type, authorization" }, expect: allow }
  - { options: /form, headers: { Origin: "https://app.viloforge.com", Access-Control-Request-Method: PUT }, expect: deny }
  - { options: /form, headers: { Origin: "https://app.viloforge.com" }, expect: login }
  - { get: /claim, as: { claims: { department: [sales, finance], level: 3, org: { units: [it, hr], none: } } }, expect: allow }
  - { get: /claim, as: { claims: { department: finance, level: 3.5, org: { units: [it] } } }, expect: deny }
  - { get: /mail, as: { email: a@viloforge.com }, expect: allow }
  - { get: /mail, as: { email: a@viloforge.com, email_verified: false }, expect: deny }
  - { get: /header, as: {}, headers: { X-A: "1" }, expect: allow }
  - { get: /header, as: {}, headers: { X-A: ["1", "2"] }, expect: bad-request }
  - { get: //about, expect: bad-request }
  - { get: /nowhere/at/all, as: {}, expect: deny, rule: none }
  - { get: /%zz, expect: bad-request, rule: none }
`)
}

// TestFilesOfTests are run by Test, beside the tests of the policy, and are no part of what goes live.
func TestFilesOfTests(t *testing.T) {
	t.Parallel()
	files := []File{
		{"a/site_test.yaml", []byte("tests:\n  - { get: /about, expect: allow }\n  - { get: /about, expect: login }\n")},
		{"a/site.yaml", []byte(testable + "tests: [{ get: /about, expect: allow }]\n")},
	}
	set, results, err := Test(files, testOptions)
	if err != nil || len(results) != 3 || set.Lookup("website.viloforge.com") == nil {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for i, want := range []string{"a/site.yaml:15:9", "a/site_test.yaml:2:5", "a/site_test.yaml:3:5"} {
		r := results[i]
		if r.Place.String() != want || (r.Failure != "") != (i == 2) || r.Name != "GET /about as nobody" {
			t.Errorf("%s: %+v", want, r)
		}
	}
	if _, err := Compile(files, testOptions); err != nil {
		t.Errorf("a test in a file of its own that fails is no part of what goes live: %v", err)
	}
	for text, want := range map[string]string{
		"tests: [{ get: /about, expect: alow }]": "a/site_test.yaml:1:32: unknown outcome",
		"host: a\ntests: []":                     `a/site_test.yaml:1:1: unknown "host"`,
		"tests: []\n---\n":                       "a/site_test.yaml:",
	} {
		_, _, err := Test([]File{{"a/site_test.yaml", []byte(text)}, files[1]}, testOptions)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	_, _, err = Test([]File{{"a/sites_test.yaml", files[0].Data}, files[1]}, testOptions)
	if err == nil || err.Error() != "a/sites_test.yaml:1:1: there is no policy file a/sites.yaml beside it that these tests could be of" {
		t.Errorf("%v", err)
	}
}

// TestAskingTheLoginHost: no policy is asked about it, not even one of all hosts beside it.
func TestAskingTheLoginHost(t *testing.T) {
	t.Parallel()
	text := "host: \"*.viloforge.com\"\nupstream: website\nroutes: [{ path: \"/*rest\", allow: deny }]\n"
	set, err := Compile([]File{{"a.yaml", []byte(text)}}, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]Outcome{"login.viloforge.com": Allow, "LOGIN.viloforge.com:443": Allow, "a.viloforge.com": Deny, "elsewhere.example": NotFound} {
		if a := ask(set, Request{Method: "GET", Host: host, Target: "/"}); a.Outcome != want || a.Reason == "" {
			t.Errorf("%s: %v, %s", host, a.Outcome, a.Reason)
		}
	}
}

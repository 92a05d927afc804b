package analysis

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/policies"
)

const explained = `host: a.viloforge.com
upstream: site
rules: { office: { networks: [10.0.0.0/8] } }
routes:
  - { path: /about, allow: public }
  - { path: "/users/:id", methods: [GET], allow: authenticated, rate: 10/m per user, streams: keep, stream: true }
  - { path: "/users/:id", methods: [PUT], allow: { any: [{ roles: [admin] }, { rule: office, mfa: 15m }], not: { users: [eve] } } }
  - { path: /users/me, allow: authenticated }
  - { path: "/users/*rest", allow: { roles: [admin] } }
  - { path: "/:page", allow: deny }
  - { path: /when, allow: { when: 'request.headers["x"] == "1"', email_domains: [viloforge.com] } }
  - { path: /shadow, methods: [GET], allow: authenticated }
  - { path: /shadow, methods: [GET], allow: { roles: [admin] }, mode: shadow }
`

// TestARefusalInTheShadowIsNoDifference to one by another status, as it is none in records and metrics.
func TestARefusalInTheShadowIsNoDifference(t *testing.T) {
	t.Parallel()
	set := compile(t, "host: a.viloforge.com\nupstream: site\nroutes:\n  - { path: /shadow, methods: [POST], allow: public }\n  - { path: /shadow, methods: [GET], allow: deny, mode: shadow }\n")
	e := Explain(set, policies.Request{Method: "GET", Host: "a.viloforge.com", Target: "/shadow", Now: testNow, Identity: &policies.Identity{User: "alice"}})
	if e.Outcome != policies.MethodNotAllowed.String() || e.Shadow != "" {
		t.Errorf("%s, in the shadow %q", e.Outcome, e.Shadow)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	set := compile(t, explained)
	alice := &policies.Identity{Issuer: "vilogate", User: "alice", Roles: []string{"member"}, Email: "alice@viloforge.com", MFATime: testNow.Add(-time.Hour), Bearer: true}
	for _, c := range []struct {
		method, target string
		id             *policies.Identity
		want           string
	}{
		{"PUT", "/users/7", alice, `PUT https://a.viloforge.com/users/7 as alice
deny: none of the alternatives of any holds: roles: [admin] | mfa: 15m, rule: office
  by the route /users/:id, a.yaml:7:5
conditions
  no  any: [{ roles: [admin] }, { mfa: 15m, rule: office }]  a.yaml:7:58
      no  roles: [admin]  (member)  a.yaml:7:68
      no  mfa: 15m, rule: office  a.yaml:7:78
          no  mfa: 15m  (1h ago)  a.yaml:7:99
          no  rule: office  a.yaml:3:18
              no  networks: [10.0.0.0/8]  (8.8.8.8)  a.yaml:3:31
  yes not: { users: [eve] }  a.yaml:7:112
      no  users: [eve]  (alice)  a.yaml:7:122
to be admitted it takes
  either one of the roles admin, or a second factor within 15m and an address in [10.0.0.0/8]
routes that did not decide
  /users/*rest, a.yaml:9:5: at segment 2, a parameter comes before the rest, and no choice is taken back
  /users/:id for GET, HEAD, a.yaml:6:5: it does not take PUT
and 6 whose patterns the path does not match
`},
		{"GET", "/users/me", nil, `GET https://a.viloforge.com/users/me as nobody
login: authentication required, and the request is anonymous
  by the route /users/me, a.yaml:8:5
to be admitted it takes
  to be signed in
routes that did not decide
  /users/*rest, a.yaml:9:5: at segment 2, the word me comes before the rest, and no choice is taken back
  /users/:id for GET, HEAD, a.yaml:6:5: at segment 2, the word me comes before a parameter, and no choice is taken back
  /users/:id for PUT, a.yaml:7:5: at segment 2, the word me comes before a parameter, and no choice is taken back
and 5 whose patterns the path does not match
`},
		{"GET", "/users/7", alice, `GET https://a.viloforge.com/users/7 as alice
allow: authenticated
  by the route /users/:id, a.yaml:6:5
  to the upstream site
  as long as it is not more often than 10/m per user
  with Cache-Control: private, where the backend says nothing to caches
  and goes on when the sign-in ends or policies change, while it is under way (streams: keep)
  and its bodies pass as they come, none is held (stream: true)
`},
		{"GET", "/when", alice, `GET https://a.viloforge.com/when as alice
deny: no verified e-mail address of viloforge.com
  by the route /when, a.yaml:11:5
conditions
  no  email_domains: [viloforge.com]  (alice@viloforge.com, which is not verified)  a.yaml:11:82
  no answer when: request.headers["x"] == "1"  (evaluating "request.headers[\"x\"] == \"1\"": no such key: x)  a.yaml:11:35
to be admitted it takes
  a verified e-mail address of viloforge.com
  when: request.headers["x"] == "1"
`},
		{"GET", "/shadow", alice, `GET https://a.viloforge.com/shadow as alice
allow: authenticated
  by the route /shadow, a.yaml:12:5
  to the upstream site
  with Cache-Control: private, where the backend says nothing to caches
  in the shadow it would be deny: none of the roles admin (a.yaml:13:5)
`},
		{"DELETE", "/users/7", alice, `DELETE https://a.viloforge.com/users/7 as alice
deny (405 method not allowed): method not allowed by the routes of this pattern
  by no route, a.yaml:6:5
to be admitted it takes
  one of the methods GET, HEAD, PUT
`},
		{"GET", "/x/y/z", alice, `GET https://a.viloforge.com/x/y/z as alice
deny: no route matches this path
  by no route, a.yaml:1:7
  no pattern goes on from /x with "y"
to be admitted it takes
  a route for this path and method
and 9 whose patterns the path does not match
`},
		{"GET", "/users/me/posts", alice, `GET https://a.viloforge.com/users/me/posts as alice
deny: no route matches this path
  by no route, a.yaml:1:7
  no pattern goes on from /users/me with "posts"
to be admitted it takes
  a route for this path and method
routes that did not decide
  /users/*rest, a.yaml:9:5: at segment 2, the word me comes before the rest, and no choice is taken back
`},
		{"GET", "/", alice, `GET https://a.viloforge.com/ as alice
deny: no route matches this path
  by no route, a.yaml:1:7
  no pattern ends with /, though some go on from there
`},
		{"GET", "//about", alice, `GET https://a.viloforge.com//about as alice
bad-request: ambiguous path, which the route does not permit (double_slash)
  by the route /about, a.yaml:5:5
to be admitted it takes
  another request: ambiguous path, which the route does not permit (double_slash)
`},
		{"GET", "/other", alice, `GET https://a.viloforge.com/other as alice
deny: the route denies everybody
  by the route /:page, a.yaml:10:5
to be admitted it takes
  another rule: this one admits nobody
`},
	} {
		e := Explain(set, policies.Request{
			Method: c.method, Host: "a.viloforge.com", Target: c.target, Identity: c.id, Now: testNow, Client: netip.MustParseAddr("8.8.8.8"),
		})
		if got := e.Text(); !strings.HasPrefix(got, c.want) {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	if e := Explain(set, policies.Request{Method: "GET", Host: "b.viloforge.com", Target: "/"}); !slices.Equal(e.Needed, []string{"a policy for this host"}) {
		t.Errorf("%+v", e)
	}
}

// TestExplainTestAndDecideAgree: for random policies and requests, the tests of a policy file, the explanation and the
// decision say the same, and what the explanation says of the conditions is why.
func TestExplainTestAndDecideAgree(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	for range 40 {
		text := randomPolicy(r, "a.viloforge.com", true)
		set := compile(t, text)
		tests := "tests:\n"
		for range 40 {
			q := randomRequest(r)
			q.Host, q.Now = "a.viloforge.com", testNow
			for q.Identity != nil && q.Identity.Issuer == "another" { // no such issuer is configured
				q.Identity = randomIdentity(r)
			}
			if !slices.Contains([]string{"GET", "HEAD", "POST", "DELETE"}, q.Method) {
				continue
			}
			a := ask(set, q)
			tests += asTest(q, a)
			e := Explain(set, q)
			if e.Outcome != a.Outcome.String() || (len(e.Needed) == 0) != (a.Outcome == policies.Allow) {
				t.Fatalf("%+v, and the decision is %v\n%s", e, a.Decision, text)
			}
			holds := !slices.ContainsFunc(e.Conditions, func(c Condition) bool { return c.Truth != "yes" })
			if decided := a.Outcome == policies.Allow || a.Outcome == policies.Deny || a.Outcome == policies.StepUp; decided && len(e.Conditions) > 0 && holds != (a.Outcome == policies.Allow) {
				t.Fatalf("%s\nand the decision is %v\n%s", e.Text(), a.Decision, text)
			}
		}
		_, results, err := policies.Test([]policies.File{{Name: "a.yaml", Data: []byte(text + tests)}}, testOptions)
		if err != nil {
			t.Fatalf("%v\n%s", err, text+tests)
		}
		for _, result := range results {
			if result.Failure != "" {
				t.Fatalf("%s %s: %s\n%s", result.Place, result.Name, result.Failure, text+tests)
			}
		}
	}
}

// asTest writes a request and its answer as a test.
func asTest(q policies.Request, a policies.Answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - { %s: %q, at: 2030-01-02T03:04:05Z", strings.ToLower(q.Method), q.Target)
	if id := q.Identity; id != nil {
		by := "cookie"
		if id.Bearer {
			by = "bearer"
		}
		fmt.Fprintf(&b, ", as: { user: %q, issuer: %s, email: %q, email_verified: %t, roles: [%s], amr: [%s], by: %s", id.User, id.Issuer,
			id.Email, id.EmailVerified, strings.Join(id.Roles, ", "), strings.Join(id.AMR, ", "), by)
		age := func(key string, then time.Time) {
			if then.IsZero() {
				then = testNow.Add(-1000 * 24 * time.Hour)
			}
			fmt.Fprintf(&b, ", %s: %ds", key, int(testNow.Sub(then).Seconds()))
		}
		age("auth_age", id.AuthTime)
		age("mfa_age", id.SecondFactor())
		if n, _ := id.Claims.Claim("n"); n != nil {
			value, err := json.Marshal(n)
			if err != nil {
				panic(err) // it is one of a few constants
			}
			fmt.Fprintf(&b, ", claims: { n: %s }", value)
		}
		b.WriteString(" }")
	}
	if q.Client.IsValid() {
		fmt.Fprintf(&b, ", ip: %q", q.Client)
	}
	fmt.Fprintf(&b, ", headers: { Sec-Fetch-Site: same-origin")
	if x := q.Header["X"]; x != nil {
		fmt.Fprintf(&b, ", X: %q", x[0])
	}
	rule := "none"
	if a.Route != nil {
		rule = a.Route.Pattern
	}
	outcome := a.Outcome.String()
	if a.Outcome == policies.MethodNotAllowed {
		outcome = "deny"
	}
	fmt.Fprintf(&b, " }, expect: %s, rule: %q }\n", outcome, rule)
	return b.String()
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	text := explained + `tests:
  - { get: /about, expect: allow }
  - { put: /users/7, as: { user: bob, roles: [admin] }, expect: allow }
  - { put: /users/7, as: { user: bob }, ip: 10.0.0.1, expect: allow }
  - { get: /users/me, expect: login }
`
	set, results, err := policies.Test([]policies.File{{Name: "a.yaml", Data: []byte(text)}}, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	untouched, total := Coverage(set, results)
	var got []string
	for _, u := range untouched {
		got = append(got, fmt.Sprintf("%s: %s: %s", u.Place, u.Text, u.Why))
	}
	want := []string{
		"a.yaml:6:5: the route /users/:id for GET, HEAD: no test reaches it",
		"a.yaml:7:99: mfa: 15m: it fails in no test",
		"a.yaml:3:31: networks: [10.0.0.0/8]: it fails in no test",
		"a.yaml:7:122: users: [eve]: it holds in no test",
		"a.yaml:9:5: the route /users/*rest: no test reaches it",
		"a.yaml:9:46: roles: [admin]: no test asks it",
		"a.yaml:10:5: the route /:page: no test reaches it",
		"a.yaml:11:5: the route /when: no test reaches it",
		"a.yaml:11:82: email_domains: [viloforge.com]: no test asks it",
		`a.yaml:11:35: when: request.headers["x"] == "1": no test asks it`,
		"a.yaml:12:5: the route /shadow for GET, HEAD: no test reaches it",
	}
	if !slices.Equal(got, want) || total != 15 {
		t.Errorf("of %d\n%s\nwant\n%s", total, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

package analysis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies"
)

const checked = `host: a.viloforge.com
upstream: site
rules:
  office: { networks: [10.0.0.0/8] }
  unused: { roles: [a] }
  nonsense: { roles: [a], not: { roles: [a, b] } }
routes:
  - { path: /, allow: public }
  - { path: /form, methods: [GET, POST], allow: public }
  - { path: /about, methods: [GET, OPTIONS], allow: public }
  - { path: /users, allow: authenticated }
  - { path: "/users/:id", allow: authenticated }
  - { path: "/users/*rest", allow: { roles: [admin] } }
  - { path: "/reports/:id", allow: authenticated }
  - { path: "/reports/*rest", allow: authenticated }
  - { path: /never, allow: { users: ["partner:bob"], issuers: [vilogate] } }
  - { path: /never/either, allow: { any: [{ roles: [a], not: { roles: [a] } }, { roles: [b] }] } }
  - { path: /covered, allow: { any: [{ roles: [a, b] }, { roles: [a], mfa: 15m }] } }
  - { path: /twice, allow: { any: [{ roles: [a] }, { roles: [a] }] } }
  - { path: /holds, allow: { users: ["partner:bob"], issuers: [partner] } }
  - { path: /wider, allow: { rule: office, networks: [10.1.0.0/16] } }
  - { path: /fine, allow: { any: [{ roles: [a], mfa: 15m }, { roles: [b], networks: [10.0.0.0/8] }], not: { users: [eve] } } }
  - { path: /fine/too, allow: { roles: [a], mfa: 15m, max_age: 8h } }
  - { path: /expression, allow: { any: [{ when: 'user.id == "1"' }, { when: 'user.id == "1"', roles: [a] }] } }
  - { path: /rule, allow: { rule: nonsense } }
  - { path: /networks, allow: { networks: [10.0.0.0/8, 192.0.2.7, 10.1.0.0/16] } }
`

func TestCheck(t *testing.T) {
	t.Parallel()
	var got []string
	for _, f := range Check(compile(t, checked)) {
		got = append(got, fmt.Sprintf("%s: %s: %s", f.Place, f.Kind, f.Msg))
	}
	want := []string{
		"a.yaml:5:11: unused-rule: no route uses the rule unused",
		"a.yaml:6:13: unreachable-condition: nobody can ever be admitted: rule: nonsense",
		"a.yaml:8:5: unsafe-public: / is public for every method, those that change something too; list the methods",
		"a.yaml:9:5: unsafe-public: /form is public for POST, with which anybody may change something",
		"a.yaml:13:5: unreachable-route: no request reaches /users/*rest: /users is a route of its own, and what lies below it is taken by the parameter :id of other patterns",
		"a.yaml:15:5: narrowed-route: /reports/*rest matches /reports alone: what lies below it is taken by the parameter :id of other patterns",
		`a.yaml:16:5: unreachable-condition: nobody can ever be admitted: users: [partner:bob], issuers: [vilogate]`,
		"a.yaml:17:43: unreachable-condition: this can never be true: roles: [a], not: { roles: [a] }",
		"a.yaml:18:57: idle-condition: nothing would be decided differently without this alternative, whose work others do: roles: [a], mfa: 15m",
		"a.yaml:19:62: idle-condition: nothing would be decided differently without this alternative, whose work others do: roles: [a]",
		"a.yaml:20:64: idle-condition: nothing would be decided differently without this, which holds wherever the rest does: issuers: [partner]",
		"a.yaml:21:5: idle-condition: nothing would be decided differently without this, which holds wherever the rest does: rule: office",
		`a.yaml:24:69: idle-condition: nothing would be decided differently without this alternative, whose work others do: roles: [a], when: user.id == "1"`,
		"a.yaml:25:5: unreachable-condition: nobody can ever be admitted: rule: nonsense",
		"a.yaml:26:44: idle-condition: 10.1.0.0/16 lies in 10.0.0.0/8, which stands in the same list",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestHostsInTheShadow(t *testing.T) {
	t.Parallel()
	found := Check(compile(t, "host: a.viloforge.com\nupstream: site\nroutes: [{ path: /, allow: authenticated, mode: shadow }]\n"))
	if len(found) != 1 || found[0].Kind != ShadowOnly {
		t.Errorf("%+v", found)
	}
}

// TestLiveRoutesBehindTheShadow: what a route in the shadow would take is reached as long as it is there.
func TestLiveRoutesBehindTheShadow(t *testing.T) {
	t.Parallel()
	found := Check(compile(t, `host: a.viloforge.com
upstream: site
routes:
  - { path: /a, methods: [GET], allow: authenticated }
  - { path: "/a/*rest", methods: [GET], allow: authenticated }
  - { path: "/a/:id", methods: [GET], allow: { roles: [x] }, mode: shadow }
  - { path: /b, allow: authenticated }
  - { path: "/b/:id", allow: authenticated }
  - { path: "/b/*rest", allow: authenticated, mode: shadow }
  - { path: /c, allow: authenticated }
  - { path: "/c/:id", allow: authenticated }
  - { path: "/c/*rest", allow: authenticated }
`))
	if len(found) != 2 || found[0].route.Pattern != "/b/*rest" || found[1].route.Pattern != "/c/*rest" {
		t.Errorf("%+v", found)
	}
}

// TestTheSameRuleTwice: one of the two is idle, and one stays.
func TestTheSameRuleTwice(t *testing.T) {
	t.Parallel()
	for _, allow := range []string{"any: [{ rule: r }, { rule: r }]", "all: [{ rule: r }, { rule: r }]", "rule: r, all: [{ rule: r }]"} {
		found := Check(compile(t, "host: a.viloforge.com\nupstream: site\nrules: { r: { roles: [a] } }\nroutes: [{ path: /, allow: { "+allow+" } }]\n"))
		if len(found) != 1 || found[0].Kind != IdleCondition {
			t.Errorf("%s: %+v", allow, found)
		}
	}
}

// TestUnreachableIsNeverReached: of random policies, with unreachable routes and conditions planted, all that were planted
// are found, and in a million random requests nothing that is called unreachable is ever chosen, or true.
func TestUnreachableIsNeverReached(t *testing.T) {
	t.Parallel()
	requests, planted, called := 1_000_000, 0, 0
	if testing.Short() {
		requests = 50_000
	}
	r := rand.New(rand.NewPCG(7, 8))
	for requests > 0 {
		texts := randomPolicies(r, true)
		i := r.IntN(len(texts))
		texts[i] += `  - { path: /p, allow: authenticated }
  - { path: "/p/:x", methods: [GET], allow: authenticated }
  - { path: "/p/*rest", allow: ` + randomAllow(r, true) + ` }
  - { path: /a/planted, allow: { all: [{ roles: [a] }, { not: { roles: [a, b] } }] } }
  - { path: /b/planted, allow: { any: [{ issuers: [partner], mfa: 15m }, { users: ["partner:bob"], not: { issuers: [partner] } }] } }
`
		set := compile(t, texts...)
		unreachable, conditions := map[*policies.Route]bool{}, map[*policies.Condition]bool{}
		found := map[string]bool{}
		for _, f := range Check(set) {
			switch {
			case f.Kind == UnreachableRoute:
				unreachable[f.route] = true
				found[f.route.Pattern] = true
			case f.Kind == UnreachableCondition:
				conditions[f.condition] = true
				found[f.condition.Text] = true
			}
		}
		for _, text := range []string{"/p/*rest", "roles: [a], not: { roles: [a, b] }", "users: [partner:bob], not: { issuers: [partner] }"} {
			if planted++; !found[text] {
				t.Fatalf("%s was planted, and found was only %v\n%s", text, found, texts[i])
			}
		}
		called += len(unreachable) + len(conditions)
		for range min(requests, 20_000) {
			q := randomRequest(r)
			if r.IntN(4) == 0 {
				q.Target = pick(r, "/p", "/p/", "/p/a", "/p/a/b", "/a/planted", "/b/planted")
			}
			requests--
			a := ask(set, q)
			route := a.Match.Route
			if route == nil {
				continue
			}
			if unreachable[route] {
				t.Fatalf("%s %s%s reaches %s\n%s", q.Method, q.Host, q.Target, route.Pattern, texts)
			}
			reached(route, route.Condition(), func(c *policies.Condition) {
				if truth, _ := route.Truth(c, a.Facts, q.Identity); conditions[c] && truth == policies.True {
					t.Fatalf("%s is true for %+v\n%s", c.Text, q.Identity, texts)
				}
			})
		}
	}
	t.Logf("%d planted, %d called unreachable", planted, called)
}

// reached calls f for a condition and all parts of it.
func reached(route *policies.Route, c *policies.Condition, f func(*policies.Condition)) {
	if c == nil {
		return
	}
	f(c)
	for _, of := range c.Of {
		reached(route, of, f)
	}
}

// TestIdleMakesNoDifference: what is called idle can be left out, and nothing is decided differently.
func TestIdleMakesNoDifference(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 10))
	checkedConditions := 0
	for range 300 {
		set := compile(t, randomPolicies(r, true)...)
		for _, f := range Check(set) {
			if f.Kind != IdleCondition || f.condition == nil {
				continue
			}
			for _, name := range set.Hosts() {
				for _, route := range set.Policy(name).Routes() {
					checkedConditions += idleIn(t, r, route, f.condition)
				}
			}
		}
	}
	if checkedConditions == 0 {
		t.Error("nothing was idle")
	}
}

// idleIn compares a condition with and without a part of it that is called idle.
func idleIn(t *testing.T, r *rand.Rand, route *policies.Route, part *policies.Condition) int {
	t.Helper()
	root, inside := route.Condition(), false
	stand := always
	reached(route, root, func(c *policies.Condition) {
		if slices.Contains(c.Of, part) {
			inside = true
			if c.Kind == policies.Any {
				stand = never
			}
		}
	})
	if !inside {
		return 0
	}
	without := replace(root, part, stand)
	for range 300 {
		id := randomIdentity(r)
		q := randomRequest(r)
		f := policies.Facts{Now: testNow, Client: q.Client, Header: q.Header, Method: "GET"}
		with, err := route.Truth(root, f, id)
		if err != nil {
			t.Fatal(err)
		}
		if id == nil && !route.Optional {
			continue
		}
		if less, _ := route.Truth(without, f, id); (less == policies.True) != (with == policies.True) {
			t.Fatalf("%s is not idle in %s for %+v", part.Text, root.Text, id)
		}
	}
	return 1
}

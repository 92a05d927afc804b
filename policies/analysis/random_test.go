package analysis

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/policies"
)

var testOptions = policies.Options{
	Domain: "viloforge.com", LoginHost: "login.viloforge.com", PublicPort: 443,
	Upstreams: []string{"site"}, Issuers: []string{"vilogate", "partner", "other"},
}

func compile(t testing.TB, texts ...string) *policies.Set {
	t.Helper()
	var files []policies.File
	for i, text := range texts {
		files = append(files, policies.File{Name: fmt.Sprintf("%c.yaml", 'a'+i), Data: []byte(text)})
	}
	set, err := policies.Compile(files, testOptions)
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(texts, "\n---\n"))
	}
	return set
}

// The words of random policies are few, so that they meet.
var (
	somePatterns = []string{"/", "/a", "/a/b", "/a/:x", "/a/:x/b", "/a/*rest", "/:x", "/:x/b", "/b/*rest", "/*rest", "/c/d", "/c/:y/*rest"}
	somePaths    = []string{"/A", "/a/B", "/A/b", "/", "/a", "/a/", "/a/b", "/a/q", "/a/b/c", "/a/q/b", "/a/q/z", "/q", "/q/b", "/q/r", "/b", "/b/1/2", "/c", "/c/d", "/c/d/e", "/c/q", "/c/q/r/s", "//a", "/a;x", "/a/q%2Fz", "/q;x/b", "/a/q%23", "/a/q%252Fz", "/c/q/r%252Fs", "/a/q%5Cz", "/q%5Cz"}
	someMethods  = []string{"GET", "HEAD", "POST", "DELETE", "PURGE"}
	someHosts    = []string{"a.viloforge.com", "b.viloforge.com", `"*.viloforge.com"`, `"*.p.viloforge.com"`}
	askedHosts   = []string{"a.viloforge.com", "b.viloforge.com", "q.viloforge.com", "q.p.viloforge.com", "elsewhere.example"}
)

// pick is one of several.
func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// some are a few words in a list, at least one.
func some(r *rand.Rand, from ...string) string {
	var list []string
	for _, word := range from {
		if r.IntN(2) == 0 {
			list = append(list, word)
		}
	}
	if len(list) == 0 {
		list = append(list, pick(r, from...))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// randomCondition is a key of a map of conditions.
func randomCondition(r *rand.Rand, depth int, expressions bool) string {
	if depth > 0 {
		inner := func() string { return "{ " + randomCondition(r, depth-1, expressions) + " }" }
		switch r.IntN(6) {
		case 0:
			return "any: [" + inner() + ", " + inner() + "]"
		case 1:
			return "all: [" + inner() + ", " + inner() + "]"
		case 2:
			return "not: " + inner()
		}
	}
	if expressions && r.IntN(5) == 0 {
		return "when: '" + pick(r, `user.username == "alice"`, `"x" in request.headers`, `request.headers["x"] == "1"`) + "'"
	}
	switch r.IntN(10) {
	case 0, 1:
		return "roles: " + some(r, "a", "b", "c")
	case 2:
		return "users: " + some(r, "alice", "bob", `"partner:bob"`)
	case 3:
		return "issuers: " + some(r, "vilogate", "partner", "other")
	case 4:
		return "networks: " + some(r, "10.0.0.0/8", "10.1.0.0/16", "192.0.2.7")
	case 5:
		return "mfa: " + pick(r, "15m", "1h")
	case 6:
		return "max_age: " + pick(r, "15m", "1h")
	case 7:
		return "amr: " + some(r, "mfa", "hwk")
	case 8:
		return pick(r, "bearer: only", "email_domains: "+some(r, "one.example", "two.example"))
	}
	return "claims: { n: " + some(r, "1", `"1"`, "true") + " }"
}

// randomAllow is the value of allow:.
func randomAllow(r *rand.Rand, expressions bool) string {
	switch r.IntN(8) {
	case 0:
		return "public"
	case 1:
		return "authenticated"
	case 2:
		return pick(r, "optional", "deny")
	case 3:
		return "{ optional: true, networks: [10.0.0.0/8] }"
	}
	return "{ " + randomCondition(r, 2, expressions) + " }"
}

// randomPolicy is the text of a policy for a host, its routes in random order.
func randomPolicy(r *rand.Rand, host string, expressions bool) string {
	var routes []string
	for _, pattern := range somePatterns {
		if r.IntN(2) == 0 {
			continue
		}
		methods := []string{""}
		switch r.IntN(3) {
		case 0:
			methods = []string{", methods: [GET]", ", methods: [POST, DELETE]"}
		case 1:
			methods = []string{pick(r, ", methods: [POST]", ", methods: [DELETE, PURGE]", ", methods: [GET, POST]", ", methods: [HEAD]")}
		}
		for _, m := range methods {
			odd := pick(r, "", "", "", ", double_slash: allow", ", semicolon: allow", ", encoded_slash: allow", ", encoded_hash: allow", ", double_encoding: allow", ", encoded_backslash: allow")
			routes = append(routes, fmt.Sprintf("  - { path: %q%s, allow: %s%s }\n", pattern, m, randomAllow(r, expressions), odd))
		}
	}
	if len(routes) == 0 {
		routes = append(routes, "  - { path: /a, allow: authenticated }\n")
	}
	r.Shuffle(len(routes), func(i, j int) { routes[i], routes[j] = routes[j], routes[i] })
	return "host: " + host + "\nupstream: site\n" + pick(r, "", "", "paths: case-insensitive\n") + "routes:\n" + strings.Join(routes, "")
}

// randomPolicies are the texts of policies for some of the hosts.
func randomPolicies(r *rand.Rand, expressions bool) (texts []string) {
	for _, host := range someHosts {
		if r.IntN(3) > 0 {
			texts = append(texts, randomPolicy(r, host, expressions))
		}
	}
	if len(texts) == 0 {
		texts = append(texts, randomPolicy(r, someHosts[0], expressions))
	}
	return texts
}

var testNow = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// randomIdentity is somebody that could be: whose name tells an issuer is of it.
func randomIdentity(r *rand.Rand) *policies.Identity {
	if r.IntN(6) == 0 {
		return nil
	}
	subset := func(from ...string) (list []string) {
		for _, word := range from {
			if r.IntN(2) == 0 {
				list = append(list, word)
			}
		}
		return list
	}
	ago := func() time.Time {
		return pick(r, time.Time{}, testNow, testNow.Add(-15*time.Minute), testNow.Add(-30*time.Minute), testNow.Add(-time.Hour), testNow.Add(-2*time.Hour))
	}
	id := &policies.Identity{
		Issuer: pick(r, "vilogate", "partner", "other", "another"), User: pick(r, "alice", "bob", "partner:bob", "carol"),
		Roles: subset("a", "b", "c", "d"), AMR: subset("mfa", "hwk", "pwd"), AuthTime: ago(), MFATime: ago(),
		Bearer: r.IntN(2) == 0, Email: pick(r, "", "x@one.example", "x@TWO.example", "x@three.example"), EmailVerified: r.IntN(4) > 0,
		Claims: fixedClaims{"n": pick[any](r, nil, 1.0, "1", true, false, []any{1.0, "1"}, []any{true}, []any{})},
	}
	if strings.HasPrefix(id.User, "partner:") {
		id.Issuer = "partner"
	}
	return id
}

// randomRequest is a request of the small world.
func randomRequest(r *rand.Rand) policies.Request {
	q := policies.Request{
		Method: pick(r, someMethods...), Host: pick(r, askedHosts...), Target: pick(r, somePaths...), Identity: randomIdentity(r), Now: testNow,
		Header: policies.Fields{"Sec-Fetch-Site": {"same-origin"}},
	}
	if r.IntN(5) > 0 {
		q.Client = pick(r, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.1.0.1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("8.8.8.8"))
	}
	if r.IntN(2) == 0 {
		q.Header["X"] = []string{pick(r, "1", "2")}
	}
	return q
}

// word is an outcome as Diff has it: 400 and 405 are deny.
func word(o policies.Outcome) policies.Outcome {
	if o == policies.MethodNotAllowed || o == policies.BadRequest || o == policies.NotFound || o == policies.MethodNotImplemented {
		return policies.Deny
	}
	return o
}

// TestOrderChangesNothing: neither the order of routes nor that of files changes a decision, or what is said about it.
func TestOrderChangesNothing(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		texts := randomPolicies(r, true)
		one := compile(t, texts...)
		turned := slices.Clone(texts)
		for i, text := range turned {
			head, routes, _ := strings.Cut(text, "routes:\n")
			lines := strings.SplitAfter(routes, "\n")
			r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			turned[i] = head + "routes:\n" + strings.Join(lines, "")
		}
		r.Shuffle(len(turned), func(i, j int) { turned[i], turned[j] = turned[j], turned[i] })
		other := compile(t, turned...)
		for range 500 {
			q := randomRequest(r)
			a, b := ask(one, q), ask(other, q)
			if a.Outcome != b.Outcome || a.Reason != b.Reason || a.Match.Pattern != b.Match.Pattern || !slices.Equal(a.Allow, b.Allow) {
				t.Fatalf("%s %s%s as %+v: %v (%s) and %v (%s)\n%s", q.Method, q.Host, q.Target, q.Identity, a.Outcome, a.Reason, b.Outcome, b.Reason, texts)
			}
		}
		if d := Diff(one, other); len(d.Changes)+len(d.Expressions)+len(d.Options)+len(d.Incomplete) > 0 {
			t.Fatalf("%+v\n%s", d, texts)
		}
	}
}

// ask is the decision about a request, who asks being known.
func ask(decider interface {
	Decide(*policies.Request) (policies.Answer, error)
}, q policies.Request,
) policies.Answer {
	a, err := decider.Decide(&q)
	if err != nil {
		panic(err) // there is no Authenticator
	}
	return a
}

package analysis

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// covers reports whether a change is about a request, given what became of it before and after.
func (c *Change) covers(q policies.Request, before, after policies.Answer) bool {
	routeOf := func(a policies.Answer) *policies.Route { return a.Match.Route }
	if before.Host != c.before || after.Host != c.after || routeOf(before) != c.sides[0].route || routeOf(after) != c.sides[1].route {
		return false
	}
	if odd := before.Match.Ambiguities | after.Match.Ambiguities; (odd != 0 || c.ambiguity != 0) && odd&c.ambiguity == 0 {
		return false
	}
	for i, a := range []policies.Answer{before, after} {
		refused := a.Host == nil || !a.Host.Implements(q.Method)
		if side := c.sides[i]; side.route == nil && (side.allPublic != a.Match.AllPublic || side.refused != refused) {
			return false
		}
	}
	who := c.difference.who
	if who[0] >= 0 && (who[0] == anonymousUser) != (q.Identity == nil) {
		return false
	}
	truths := map[*policies.Condition]policies.Truth{}
	for i, a := range []policies.Answer{before, after} {
		r := c.sides[i].route
		if r == nil {
			continue
		}
		eachLeaf(r.Condition(), func(leaf *policies.Condition) {
			if c.space.atoms[leaf] == nil {
				return // the side that refuses the path's spelling, whoever asks
			}
			truth, _ := r.Truth(leaf, a.Facts, q.Identity)
			if part := c.space.atoms[leaf][0]; truth == policies.Unknown && !slices.Contains(part.truth, policies.Unknown) {
				truth = policies.False // where no not could tell them apart
			}
			truths[leaf] = truth
		})
	}
	all := slices.Clone(who)
	if all[0] = somebody; q.Identity == nil {
		all[0] = anonymousUser
	}
	if f := c.space.crossSiteVar; f >= 0 && all[f] >= 0 && (all[f] == 1) != forged(q) {
		return false
	}
	return c.space.someoneLike(all, truths)
}

// forged reports whether a request is one that CSRF protection refuses.
func forged(q policies.Request) bool {
	return q.Identity != nil && !q.Identity.Bearer && q.Header["Sec-Fetch-Site"][0] == "cross-site" && !request.IsSafe(q.Method)
}

// someoneLike reports whether the open variables can have values with which the conditions have these truths.
func (s *space) someoneLike(a assignment, truths map[*policies.Condition]policies.Truth) bool {
	for leaf, truth := range truths {
		if s.truths(leaf, a, false)&maskOf(truth) == 0 {
			return false
		}
	}
	open := slices.Index(a, -1)
	if open < 0 {
		return true
	}
	for x := range s.vars[open].values {
		if s.possible(a, open, x) {
			a[open] = x
			if s.someoneLike(a, truths) {
				a[open] = -1
				return true
			}
		}
	}
	a[open] = -1
	return false
}

// TestDiffIsWhatBruteForceFinds: for random pairs of policies, each request of a small world that is decided differently is
// in a class that Diff reports, with that very difference, and each that is in a reported class is decided so.
func TestDiffIsWhatBruteForceFinds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	found, pairs := 0, 60
	if testing.Short() {
		pairs = 10
	}
	for range pairs {
		oldTexts, newTexts := randomPolicies(r, true), randomPolicies(r, true)
		for i := range newTexts { // most of them alike, so that small differences are found too
			if i < len(oldTexts) && r.IntN(2) == 0 {
				newTexts[i] = oldTexts[i]
			}
		}
		newTexts = uniqueHosts(newTexts)
		before, after := compile(t, oldTexts...), compile(t, newTexts...)
		report := Diff(before, after)
		if len(report.Incomplete) > 0 {
			t.Fatalf("too many cases: %v", report.Incomplete)
		}
		for range 3000 {
			q := randomRequest(r)
			if r.IntN(3) == 0 {
				q.Header["Sec-Fetch-Site"] = []string{"cross-site"}
			}
			b, a := ask(before, q), ask(after, q)
			if b.Host == nil && a.Host == nil || b.Match.Divergence != "" || a.Match.Divergence != "" {
				continue // where servers would find another route, no class is compared
			}
			differs := word(b.Outcome) != word(a.Outcome)
			covered := false
			for i := range report.Changes {
				c := &report.Changes[i]
				if !c.covers(q, b, a) {
					continue
				}
				covered = true
				if forged(q) && c.space.crossSiteVar < 0 {
					continue // what a class says of requests is said of those that are meant
				}
				if c.ambiguity == 0 && (c.From != word(b.Outcome).String() || c.To != word(a.Outcome).String()) {
					t.Fatalf("%s %s%s from %v as %+v: %v before, %v after, in the class %+v\n%s\n%s", q.Method, q.Host, q.Target, q.Client, q.Identity, b.Outcome, a.Outcome, *c, oldTexts, newTexts)
				}
			}
			if differs && !covered {
				t.Fatalf("%s %s%s from %v as %+v: %v before (%s), %v after (%s), and no class has it\n%s\n%s",
					q.Method, q.Host, q.Target, q.Client, q.Identity, b.Outcome, b.Reason, a.Outcome, a.Reason, oldTexts, newTexts)
			}
			if differs {
				found++
			}
		}
		for _, c := range report.Changes {
			if len(c.Example.Given) > 0 {
				continue
			}
			b, a := ask(before, c.Example.Request), ask(after, c.Example.Request)
			if word(b.Outcome).String() != c.From && b.Outcome.String() != c.From || word(a.Outcome).String() != c.To && a.Outcome.String() != c.To || word(a.Outcome) == word(b.Outcome) {
				t.Fatalf("the example of %+v: %v before, %v after (%+v)\n%s\n%s", c, b.Outcome, a.Outcome, c.Example.Request.Identity, oldTexts, newTexts)
			}
		}
	}
	if found == 0 {
		t.Error("no two policies differed about anything")
	}
}

// uniqueHosts leaves out policies of a host that has one already.
func uniqueHosts(texts []string) (kept []string) {
	seen := map[string]bool{}
	for _, text := range texts {
		host := text[:len("host: ")+10]
		if !seen[host] {
			kept = append(kept, text)
		}
		seen[host] = true
	}
	return kept
}

// TestDiffOfPublicAndOptional: a page of another site, a bad credential and a stale one fare differently.
func TestDiffOfPublicAndOptional(t *testing.T) {
	t.Parallel()
	policy := func(allow string) *policies.Set {
		return compile(t, "host: a.viloforge.com\nupstream: site\nroutes:\n  - { path: /f, methods: [GET, POST], allow: "+allow+" }\n")
	}
	d := Diff(policy("public"), policy("optional"))
	if len(d.Changes) == 0 || d.Changes[0].From != "allow" || d.Changes[0].To != "deny" || !slices.Equal(d.Changes[0].Methods, []string{"POST"}) {
		t.Fatalf("%+v", d.Changes)
	}
	q := d.Changes[0].Example.Request
	if b, a := ask(policy("public"), q), ask(policy("optional"), q); b.Outcome != policies.Allow || a.Outcome != policies.Deny || !a.CrossSite {
		t.Errorf("%v and %v", b, a)
	}
	if len(d.Options) != 1 || d.Options[0].Option != "credentials" {
		t.Errorf("%+v", d.Options)
	}
	if back := Diff(policy("optional"), policy("public")); len(back.Changes) == 0 || back.Changes[0].From != "deny" || back.Changes[0].To != "allow" || len(back.Options) != 1 {
		t.Errorf("%+v", back)
	}
}

// TestDiffOfSwappedParameters: the same words ask for another segment.
func TestDiffOfSwappedParameters(t *testing.T) {
	t.Parallel()
	policy := func(pattern string) *policies.Set {
		return compile(t, "host: a.viloforge.com\nupstream: site\nroutes:\n  - { path: \""+pattern+"\", allow: { when: 'user.username == request.params.owner' } }\n")
	}
	one := policy("/t/:owner/:other/doc")
	if d := Diff(one, policy("/t/:other/:owner/doc")); len(d.Changes) == 0 || len(d.Expressions) != 1 || d.Expressions[0].Removed[0] == d.Expressions[0].Added[0] {
		t.Errorf("%+v", d)
	}
	if d := Diff(one, policy("/t/:owner/:another/doc")); len(d.Changes)+len(d.Expressions) > 0 {
		t.Errorf("%+v", d)
	}
}

// TestDiffOfHeadersThatLookAlike: one header is not two, whatever stands in it.
func TestDiffOfHeadersThatLookAlike(t *testing.T) {
	t.Parallel()
	policy := func(set string) *policies.Set {
		return compile(t, "host: a.viloforge.com\nupstream: site\nroutes:\n  - { path: /, allow: authenticated, headers: { request: { set: { "+set+" } } } }\n")
	}
	if d := Diff(policy(`X-A: "b} {X-C d"`), policy("X-A: b, X-C: d")); len(d.Options) != 1 {
		t.Errorf("%+v", d.Options)
	}
}

// TestDiffOfTheSame is nothing.
func TestDiffOfTheSame(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		texts := randomPolicies(r, true)
		if d := Diff(compile(t, texts...), compile(t, texts...)); len(d.Changes)+len(d.Expressions)+len(d.Options)+len(d.Incomplete) > 0 {
			t.Fatalf("%+v\n%s", d, texts)
		}
	}
}

// TestDiffOfOptions: what routes and hosts say beside who may is compared too.
func TestDiffOfOptions(t *testing.T) {
	t.Parallel()
	before := compile(t, `host: a.viloforge.com
upstream: site
cors: { origins: ["https://x.example"] }
routes:
  - { path: /a, methods: [GET], allow: authenticated, rate: 1/m per user, timeout: 5s }
  - { path: /b, allow: { when: 'user.id == "1"' } }
`)
	after := compile(t, `host: a.viloforge.com
upstream: site
tls: { min_version: "1.3" }
cors: { origins: ["https://x.example", "*"] }
routes:
  - { path: /a, methods: [GET], allow: authenticated, rate: 2/m per user, max_body: 1MiB, websocket: true }
  - { path: /b, allow: { when: 'user.id == "2"' } }
`)
	d := Diff(before, after)
	var got []string
	for _, o := range d.Options {
		got = append(got, fmt.Sprintf("%s%v %s: %s -> %s", o.Pattern, o.Methods, o.Option, o.From, o.To))
	}
	const cors = ", credentials false, methods [], headers [Authorization Content-Type X-Request-Id], exposed [], max age 10m"
	want := []string{
		`[*] tls: none -> at least 0x0304, client_ca ""`,
		"/a[GET HEAD] rate: 1/m per user -> 2/m per user",
		"/a[GET HEAD] max_body: none -> 1MiB",
		"/a[GET HEAD] timeout: 5s -> none",
		"/a[GET HEAD] cors: origins [https://x.example]" + cors + " -> origins [https://x.example *]" + cors,
		"/a[GET HEAD] websocket: false -> true",
		"/b[*] cors: origins [https://x.example]" + cors + " -> origins [https://x.example *]" + cors,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(d.Expressions) != 1 || d.Expressions[0].Removed[0] != `user.id == "1"` || d.Expressions[0].Added[0] != `user.id == "2"` {
		t.Errorf("%+v", d.Expressions)
	}
	if len(d.Changes) == 0 || len(d.Changes[0].Example.Given) == 0 {
		t.Errorf("%+v", d.Changes)
	}
}

// What a route has beside who may is compared by its texts; a field without one would change unseen.
func TestDiffKnowsEveryOption(t *testing.T) {
	t.Parallel()
	elsewhere := []string{
		"Pattern", "Place", "Reads", // of the route itself
		"BearerOnly", "Optional", "Shadow", // seen in what is decided
		"ForwardedPrefix", // is StripPrefix
		"Acknowledged",    // decides nothing
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[policies.Route]()) {
		if !f.IsExported() || slices.Contains(elsewhere, f.Name) {
			continue
		}
		var r policies.Route
		fill(reflect.ValueOf(&r).Elem().FieldByIndex(f.Index))
		if slices.Equal(optionsOf(&r), optionsOf(&policies.Route{})) {
			t.Errorf("diff does not see %s", f.Name)
		}
	}
}

// fill makes a value another than its zero value.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.String:
		v.SetString("x")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		fill(v.Field(0))
	default:
		panic("a kind of field that no option has had: " + v.Kind().String())
	}
}

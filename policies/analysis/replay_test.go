package analysis

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies"
)

// record writes down a request as an audit log does: of the facts, those that the rule reads.
func record(q policies.Request, a policies.Answer) Recorded {
	r := Recorded{
		ID: "id", Decision: word(a.Outcome).String(), Method: q.Method, Host: string(a.Facts.Host), Path: a.Target.Path.String(),
		Facts: policies.Facts{Now: q.Now, Client: q.Client}, Identity: q.Identity,
	}
	if a.Outcome == policies.BadRequest {
		r.Decision = a.Outcome.String()
	}
	var reads policies.Reads
	if a.Match.Route != nil {
		reads = a.Match.Route.Reads
	}
	fields := policies.Fields{}
	for _, name := range reads.Headers {
		if values := q.Header.Values(name); values != nil {
			fields[name] = values
		}
	}
	r.Facts.Header = fields
	known := fixedClaims{}
	if q.Identity != nil {
		id := *q.Identity
		for _, name := range reads.Claims {
			if value, ok := id.Claims.Claim(name); ok {
				known[name] = value
			}
		}
		id.Claims = known
		r.Identity = &id
	}
	r.HasFact = func(fact string) bool {
		kind, name, _ := strings.Cut(fact, ".")
		return kind == "headers" && slices.Contains(reads.Headers, name) || kind == "claims" && slices.Contains(reads.Claims, name)
	}
	return r
}

// TestReplayIsWhatWouldHaveBeen: of random requests that random policies decided, replaying says which others would decide
// differently; it is undecidable only where a fact is missing, and of the rest every answer is right. Against the same
// policies, all is the same.
func TestReplayIsWhatWouldHaveBeen(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(13, 14))
	different, undecided := 0, 0
	for range 60 {
		before, after := compile(t, randomPolicies(r, true)...), compile(t, randomPolicies(r, true)...)
		for range 500 {
			q := randomRequest(r)
			was := ask(before, q)
			if was.Host == nil {
				continue
			}
			same := NewReplayer(before)
			same.Add(record(q, was))
			if got := same.Result(); got.Same != 1 || len(got.Groups) != 0 {
				t.Fatalf("against the same policies: %+v for %+v, %+v", got, q, was.Decision)
			}
			replayer := NewReplayer(after)
			replayer.Add(record(q, was))
			got, is := replayer.Result(), ask(after, q)
			if got.Undecidable == 1 {
				if undecided++; len(got.Groups[0].Missing) == 0 || is.Match.Route == nil && !slices.Contains(got.Groups[0].Missing, "who asked") {
					t.Fatalf("undecidable without reason: %+v", got)
				}
				continue
			}
			to, _, _ := strings.Cut(is.Outcome.String(), " ") // deny (405 …)
			from, _, _ := strings.Cut(was.Outcome.String(), " ")
			if (from == to) != (got.Same == 1) || from != to && (got.Groups[0].From != from || got.Groups[0].To != to) {
				t.Fatalf("%+v, and it was %v and would be %v (%+v)", got, was.Decision, is.Decision, q)
			}
			different += got.Different
		}
	}
	if different == 0 || undecided == 0 {
		t.Errorf("%d differ, %d are undecidable", different, undecided)
	}
}

func TestReplayGroupsAndCounts(t *testing.T) {
	t.Parallel()
	replayer := NewReplayer(compile(t, "host: a.viloforge.com\nupstream: site\nroutes:\n  - { path: \"/:x\", allow: { roles: [admin] }, rate: 1/m per user }\n"+
		"  - { path: /f/exempt, allow: authenticated, csrf: { exempt: [\"https://forms.example\"] } }\n  - { path: /f/public, allow: public }\n"))
	for _, c := range []struct {
		id, path, decision string
		roles              []string
		forged             bool
	}{
		{"1", "/a", "allow", nil, false},
		{"2", "/b", "allow", nil, false},
		{"3", "/a", "limit", []string{"admin"}, false},
		{"4", "/a", "limit", nil, false},
		{"5", "/a", "deny", []string{"admin"}, true},
		{"9", "/f/exempt", "deny", nil, true},
		{"10", "/f/public", "deny", nil, true},
		{"6", "/a/b", "allow", nil, false},
		{"7", "/c", "allow", nil, false},
		{"8", "/d", "allow", nil, false},
	} {
		replayer.Add(Recorded{
			ID: c.id, Decision: c.decision, Method: "GET", Host: "a.viloforge.com", Path: c.path, CrossSite: c.forged,
			Identity: &policies.Identity{User: "x", Roles: c.roles}, HasFact: func(string) bool { return true },
		})
	}
	got := replayer.Result()
	if got.Requests != 10 || got.Same != 2 || got.Different != 7 || got.Undecidable != 1 || len(got.Groups) != 5 {
		t.Fatalf("%+v", got)
	}
	if g := got.Groups[0]; g.Count != 4 || g.From != "allow" || g.To != "deny" || g.Route != "/:x" || !slices.Equal(g.Examples, []string{"2", "7", "8"}) {
		t.Errorf("%+v", g)
	}
}

package analysis

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies"
)

// someConditions has a value for each key of a map of conditions.
var someConditions = map[string]string{
	"roles": "[a]", "users": "[alice]", "issuers": "[partner]", "email_domains": "[one.example]", "claims": "{ n: 1 }",
	"networks": "[10.0.0.0/8]", "amr": "[hwk]", "mfa": "15m", "max_age": "1h", "bearer": "only", "when": "'user.username == \"alice\"'",
	"rule": "office", "all": "[{ roles: [a] }]", "any": "[{ roles: [a] }, { roles: [b] }]", "not": "{ roles: [a] }",
}

// TestEveryConditionIsKnown: what compiles without a line here is seen by diff all the same, told of by explain in words of its own, and
// drawn for the tests with random policies.
func TestEveryConditionIsKnown(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../schema/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Definitions struct {
			Conditions struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(data, &schema); err != nil || len(schema.Definitions.Conditions.Properties) == 0 {
		t.Fatalf("the schema has no conditions: %v", err)
	}
	drawn, r := "", rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		drawn += " " + randomCondition(r, 2, true)
	}
	policy := func(allow string) *policies.Set {
		return compile(t, "host: a.viloforge.com\nupstream: site\nrules: { office: { roles: [a] } }\nroutes: [ { path: /, allow: "+allow+" } ]\n")
	}
	for _, key := range slices.Sorted(maps.Keys(schema.Definitions.Conditions.Properties)) {
		value, ok := someConditions[key]
		if !ok {
			t.Errorf("%s has no value in someConditions", key)
			continue
		}
		set := policy("{ " + key + ": " + value + " }")
		if d := Diff(policy("deny"), set); !slices.ContainsFunc(d.Changes, func(c Change) bool { return c.To == "allow" }) {
			t.Errorf("diff takes %s for what never holds: it has no line in newSpace", key)
		}
		q := policies.Request{Method: "GET", Host: "a.viloforge.com", Target: "/", Now: testNow, Identity: &policies.Identity{User: "carol"}}
		if e := Explain(set, q); key != "bearer" && e.Conditions[0].Value == "a cookie" {
			t.Errorf("explain has no case for %s in valueOf", key)
		}
		if key != "rule" && !strings.Contains(drawn, " "+key+": ") {
			t.Errorf("randomCondition never draws %s", key)
		}
	}
}

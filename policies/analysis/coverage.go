package analysis

import (
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Uncovered is a route that no test reaches, or a condition that no test asks, or asks with one answer only.
type Uncovered struct {
	Place strictyaml.Place
	Text  string
	Why   string
}

// Coverage is what tests leave untouched of policies, in the order of the files' routes, and how many routes and conditions
// there are.
func Coverage(set *policies.Set, results []policies.TestResult) (uncovered []Uncovered, total int) {
	routes := map[*policies.Route]bool{}
	asked := map[*policies.Route]map[*policies.Condition]seenTruths{}
	for _, result := range results {
		a := result.Answer
		r := a.Route
		if r == nil || a.Kind == policies.CORSPreflight {
			continue
		}
		routes[r] = true
		if a.Outcome == policies.BadRequest || a.Outcome == policies.Login || r.Condition() == nil {
			continue
		}
		if asked[r] == nil {
			asked[r] = map[*policies.Condition]seenTruths{}
		}
		recordTruths(r, r.Condition(), a, asked[r])
	}
	for _, name := range set.Hosts() {
		for _, r := range set.Policy(name).Routes() {
			if r.Shadow {
				continue
			}
			total++
			if !routes[r] {
				uncovered = append(uncovered, Uncovered{r.Place, "the route " + r.Pattern + forMethods(r.Methods()), "no test reaches it"})
			}
			eachLeaf(r.Condition(), func(c *policies.Condition) {
				total++
				seen := asked[r][c]
				switch {
				case seen == (seenTruths{}):
					uncovered = append(uncovered, Uncovered{c.Place, c.Text, "no test asks it"})
				case !seen.yes:
					uncovered = append(uncovered, Uncovered{c.Place, c.Text, "it holds in no test"})
				case !seen.no:
					uncovered = append(uncovered, Uncovered{c.Place, c.Text, "it fails in no test"})
				}
			})
		}
	}
	return uncovered, total
}

// seenTruths are what a condition came to.
type seenTruths struct{ yes, no bool }

// recordTruths notes what the conditions came to that were asked: where one decides, what stands behind it is not.
func recordTruths(r *policies.Route, c *policies.Condition, a policies.Answer, seen map[*policies.Condition]seenTruths) policies.Truth {
	truth, _ := r.Truth(c, a.Facts, a.Identity)
	for _, of := range c.Of {
		if part := recordTruths(r, of, a, seen); c.Kind == policies.All && part == policies.False || c.Kind == policies.Any && part == policies.True {
			break
		}
	}
	if len(c.Of) == 0 {
		s := seen[c]
		seen[c] = seenTruths{s.yes || truth == policies.True, s.no || truth != policies.True}
	}
	return truth
}

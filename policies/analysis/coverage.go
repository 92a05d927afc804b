package analysis

import (
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Untouched is a route that no test reaches, or a condition that no test asks, or asks with one answer only.
type Untouched struct {
	Place strictyaml.Place
	Text  string
	Why   string
}

// Coverage is what tests leave untouched of policies, in the order of the files' routes, and how many routes and conditions
// there are.
func Coverage(set *policies.Set, results []policies.TestResult) (untouched []Untouched, total int) {
	routes := map[*policies.Route]bool{}
	asked := map[*policies.Route]map[*policies.Condition]truths{}
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
			asked[r] = map[*policies.Condition]truths{}
		}
		visit(r, r.Condition(), a, asked[r])
	}
	for _, name := range set.Hosts() {
		for _, r := range set.Policy(name).Routes() {
			if r.Shadow {
				continue
			}
			total++
			if !routes[r] {
				untouched = append(untouched, Untouched{r.Place, "the route " + r.Pattern + forMethods(r.Methods()), "no test reaches it"})
			}
			eachLeaf(r.Condition(), func(c *policies.Condition) {
				total++
				seen := asked[r][c]
				switch {
				case seen == (truths{}):
					untouched = append(untouched, Untouched{c.Place, c.Text, "no test asks it"})
				case !seen.yes:
					untouched = append(untouched, Untouched{c.Place, c.Text, "it holds in no test"})
				case !seen.no:
					untouched = append(untouched, Untouched{c.Place, c.Text, "it fails in no test"})
				}
			})
		}
	}
	return untouched, total
}

// truths are what a condition came to.
type truths struct{ yes, no bool }

// visit notes what the conditions came to that were asked: where one decides, what stands behind it is not.
func visit(r *policies.Route, c *policies.Condition, a policies.Answer, seen map[*policies.Condition]truths) policies.Truth {
	truth, _ := r.Truth(c, a.Facts, a.Identity)
	for _, of := range c.Of {
		if part := visit(r, of, a, seen); c.Kind == policies.All && part == policies.False || c.Kind == policies.Any && part == policies.True {
			break
		}
	}
	if len(c.Of) == 0 {
		s := seen[c]
		seen[c] = truths{s.yes || truth == policies.True, s.no || truth != policies.True}
	}
	return truth
}

package analysis

import (
	"fmt"
	"slices"

	"github.com/viloforge/vilogate/policies"
)

// An assignment gives variables of a space their values: -1 where it is open.
type assignment []int

// possible reports whether a variable may have a value, given the others.
func (s *space) possible(a assignment, variable, value int) bool {
	if r := s.vars[variable].values[value].requires; r.variable >= 0 && a[r.variable] >= 0 && a[r.variable] != r.value {
		return false
	}
	for other, x := range a {
		if x < 0 || other == variable {
			continue
		}
		if r := s.vars[other].values[x].requires; r.variable == variable && r.value != value {
			return false
		}
	}
	return true
}

// A mask is a set of truths, or of outcomes, by their numbers.
type mask uint8

func maskOf[T ~uint8](values ...T) (m mask) {
	for _, v := range values {
		m |= 1 << v
	}
	return m
}

func (m mask) single() bool { return m != 0 && m&(m-1) == 0 }

// combine applies a three-valued (Kleene) operator to two sets of truths.
func combine(a, b mask, f func(x, y policies.Truth) policies.Truth) (m mask) {
	for x := policies.False; x <= policies.True; x++ {
		for y := policies.False; y <= policies.True; y++ {
			if a&maskOf(x) != 0 && b&maskOf(y) != 0 {
				m |= maskOf(f(x, y))
			}
		}
	}
	return m
}

func and(x, y policies.Truth) policies.Truth { return min(x, y) }
func or(x, y policies.Truth) policies.Truth  { return max(x, y) }

// truthsOf is what a condition may come to, given what those may that are made of no others: never too little, and exact
// where they are single.
func truthsOf(c *policies.Condition, leaf func(*policies.Condition) mask) mask {
	switch c.Kind {
	case policies.All:
		m := maskOf(policies.True)
		for _, of := range c.Of {
			m = combine(m, truthsOf(of, leaf), and)
		}
		return m
	case policies.Any:
		m := maskOf(policies.False)
		for _, of := range c.Of {
			m = combine(m, truthsOf(of, leaf), or)
		}
		return m
	case policies.Not:
		var m mask
		of := truthsOf(c.Of[0], leaf)
		for x := policies.False; x <= policies.True; x++ {
			if of&maskOf(x) != 0 {
				m |= maskOf(policies.True + policies.False - x)
			}
		}
		return m
	}
	return leaf(c)
}

// truths is what a condition may come to, as far as the assignment tells.
func (s *space) truths(c *policies.Condition, a assignment, afterStepUp bool) mask {
	return truthsOf(c, func(c *policies.Condition) mask {
		switch {
		case a[0] == anonymousUser && c.Kind != policies.Networks && c.Kind != policies.Expression:
			return maskOf(policies.False)
		case afterStepUp && c.CanStepUp():
			return maskOf(policies.True)
		}
		m := maskOf(policies.False)
		for _, part := range s.atoms[c] {
			possible := maskOf(part.truth...)
			if x := a[part.variable]; x >= 0 {
				possible = maskOf(part.truth[x])
			}
			m = combine(m, possible, or)
		}
		return m
	})
}

// A side is what decides about a class of requests: a route, or that there is none.
type side struct {
	route     *policies.Route
	allPublic bool                // where route is nil: the path is listed by other methods, all of them public
	refused   bool                // no policy is for the host, or it does not know the method
	instead   *policies.Condition // of the route's own; or of nothing else than itself, where there is no route
}

func (d side) condition() *policies.Condition {
	switch {
	case d.instead != nil:
		return d.instead
	case d.route == nil:
		return nil
	}
	return d.route.Condition()
}

// outcomes is what a side may decide, as far as the assignment tells. 405 is deny, as in tests.
func (s *space) outcomes(d side, a assignment) (m mask) {
	for _, anonymous := range s.anonymous(a) {
		with := slices.Clone(a)
		with[0] = somebody
		if anonymous {
			with[0] = anonymousUser
		}
		m |= s.decisions(d, with)
	}
	return m
}

// anonymous are the values that Case.Anonymous may have.
func (s *space) anonymous(a assignment) []bool {
	switch a[0] {
	case anonymousUser:
		return []bool{true}
	case somebody:
		return []bool{false}
	}
	return []bool{true, false}
}

// decisions are the outcomes of every case that the assignment leaves open, where it says whether somebody asks. Each is
// decided as a request is.
func (s *space) decisions(d side, a assignment) (m mask) {
	r, condition, anonymous := d.route, d.condition(), a[0] == anonymousUser
	terms := policies.Terms{}
	switch {
	case d.refused, r == nil && condition == nil && (d.allPublic || !anonymous):
		return maskOf(policies.Deny)
	case r != nil:
		terms = r.Terms()
	case condition != nil:
		terms.CanStepUp = condition.CanStepUp()
	}
	now, afterStepUp := maskOf(policies.True), maskOf(policies.True)
	if condition != nil {
		now, afterStepUp = s.truths(condition, a, false), s.truths(condition, a, true)
		terms.CanStepUp = condition.CanStepUp()
	}
	for _, x := range now.truths() {
		for _, y := range afterStepUp.truths() {
			for _, crossSite := range s.crossSite(r, a) {
				m |= maskOf(terms.Outcome(policies.Case{Anonymous: anonymous, Now: x, AfterStepUp: y, CrossSite: crossSite}))
			}
		}
	}
	return m
}

// crossSite are the values that Case.CrossSite may have.
func (s *space) crossSite(r *policies.Route, a assignment) []bool {
	byCookie := s.credential < 0 || a[s.credential] != bearer
	switch {
	case s.crossSiteVar < 0 || r == nil || a[0] == anonymousUser || !byCookie || a[s.crossSiteVar] == 0:
		return []bool{false}
	case a[s.crossSiteVar] == 1 && (s.credential < 0 || a[s.credential] >= 0):
		return []bool{true}
	}
	return []bool{false, true}
}

// truths are the truths in a mask.
func (m mask) truths() (all []policies.Truth) {
	for t := policies.False; t <= policies.True; t++ {
		if m&maskOf(t) != 0 {
			all = append(all, t)
		}
	}
	return all
}

// outcome is the one that a mask stands for.
func (m mask) outcome() policies.Outcome {
	for o := policies.Allow; o <= policies.BadRequest; o++ {
		if m == maskOf(o) {
			return o
		}
	}
	return 0
}

// A difference is a kind of people about whom two sides decide differently.
type difference struct {
	who      assignment
	from, to policies.Outcome
}

// maxCases bounds the work on one pair of sides. Policies that people can read stay far below.
const maxCases = 200_000

// compare splits the cases until both sides are decided. It is false where there were too many.
func (s *space) compare(before, after side) (differences []difference, complete bool) {
	budget := maxCases
	a := make(assignment, len(s.vars))
	for i := range a {
		a[i] = -1
	}
	var split func()
	split = func() {
		if budget--; budget < 0 {
			return
		}
		from, to := s.outcomes(before, a), s.outcomes(after, a)
		if from.single() && to.single() {
			if from != to {
				differences = append(differences, difference{slices.Clone(a), from.outcome(), to.outcome()})
			}
			return
		}
		v := s.nextVariable(before, a, from)
		if v < 0 {
			v = s.nextVariable(after, a, to)
		}
		if v < 0 { // what one condition rules out, the other asks for: any variable will do
			v = slices.Index(a, -1)
		}
		for x := range s.vars[v].values {
			if s.possible(a, v, x) {
				a[v] = x
				split()
			}
		}
		a[v] = -1
	}
	split()
	return s.mergeDifferences(differences), budget >= 0
}

// mergeDifferences leaves open a variable of which every value leads to the same, for as long as there is one.
func (s *space) mergeDifferences(differences []difference) []difference {
	for v := 1; v < len(s.vars); v++ {
		type key struct {
			rest     string
			from, to policies.Outcome
		}
		like := map[key][]int{} // indices
		for i, d := range differences {
			if d.who[v] >= 0 {
				rest := slices.Clone(d.who)
				rest[v] = -1
				k := key{fmt.Sprint(rest), d.from, d.to}
				like[k] = append(like[k], i)
			}
		}
		drop := make([]bool, len(differences))
		for _, same := range like {
			if len(same) == len(s.vars[v].values) {
				differences[same[0]].who[v] = -1
				for _, i := range same[1:] {
					drop[i] = true
				}
			}
		}
		kept := differences[:0]
		for i, d := range differences {
			if !drop[i] {
				kept = append(kept, d)
			}
		}
		differences = kept
	}
	return differences
}

// nextVariable is an open variable that a side depends on; -1 where it is decided.
func (s *space) nextVariable(d side, a assignment, outcomes mask) int {
	switch c := d.condition(); {
	case outcomes.single():
		return -1
	case a[0] < 0:
		return 0
	case c != nil:
		if v := s.firstOpen(c, a, false); v >= 0 {
			return v
		}
		if v := s.firstOpen(c, a, true); v >= 0 {
			return v
		}
	}
	for _, v := range []int{s.credential, s.crossSiteVar} {
		if s.crossSiteVar >= 0 && v >= 0 && a[v] < 0 {
			return v
		}
	}
	return -1
}

// firstOpen is an open variable of a condition that is not decided; -1 where there is none.
func (s *space) firstOpen(c *policies.Condition, a assignment, afterStepUp bool) int {
	if s.truths(c, a, afterStepUp).single() {
		return -1
	}
	for _, of := range c.Of {
		if v := s.firstOpen(of, a, afterStepUp); v >= 0 {
			return v
		}
	}
	for _, part := range s.atoms[c] {
		if a[part.variable] < 0 {
			return part.variable
		}
	}
	return -1
}

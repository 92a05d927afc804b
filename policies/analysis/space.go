package analysis

import (
	"net/netip"
	"slices"
	"time"

	"github.com/viloforge/vilogate/policies"
)

// A space is what some conditions can tell apart about who asks.
type space struct {
	vars  []*variable
	atoms map[*policies.Condition][]atom // of the conditions that are made of no others

	credential, crossSiteVar int // the variables that these are; -1 where the space has none
}

// A variable is one thing about who asks, with the values that matter. The first variable of a space is whether anybody
// is signed in.
type variable struct {
	values []value
}

// A value is one that a variable may have.
type value struct {
	text  string        // "with the role admin"; "" for what goes without saying
	apply func(*person) // makes somebody like that
	// requires is another variable's value without which this one does not come about: its index is -1 where there is none.
	requires struct{ variable, value int }
}

// An atom is the part of a condition that one variable decides: its truth for each of the values. A condition holds where
// one of its atoms does.
type atom struct {
	variable int
	truth    []policies.Truth
}

const (
	anonymousUser = 0 // values of the first variable
	somebody      = 1
	bearer        = 1 // of the credential
)

// eachLeaf calls f for the conditions that are made of no others.
func eachLeaf(c *policies.Condition, f func(*policies.Condition)) {
	switch {
	case c == nil:
	case c.Kind == policies.All || c.Kind == policies.Any || c.Kind == policies.Not:
		for _, of := range c.Of {
			eachLeaf(of, f)
		}
	default:
		f(c)
	}
}

func (s *space) add(values ...value) int {
	for i := range values {
		if values[i].requires == (struct{ variable, value int }{}) {
			values[i].requires.variable = -1
		}
	}
	s.vars = append(s.vars, &variable{values})
	return len(s.vars) - 1
}

// decides notes that a condition holds for those values of a variable for which is says so.
func (s *space) decides(c *policies.Condition, variable int, is func(value int) bool) {
	a := atom{variable: variable, truth: make([]policies.Truth, len(s.vars[variable].values))}
	for i := range a.truth {
		if a.truth[i] = policies.False; is(i) {
			a.truth[i] = policies.True
		}
	}
	s.atoms[c] = append(s.atoms[c], a)
}

// anyNegated reports whether a condition of such a kind stands behind a not in one of the roots.
func anyNegated(roots []*policies.Condition, is func(leaf *policies.Condition) bool) bool {
	return slices.ContainsFunc(roots, func(root *policies.Condition) bool { return negated(root, is, false) })
}

func negated(c *policies.Condition, is func(leaf *policies.Condition) bool, behind bool) bool {
	if c == nil {
		return false
	}
	return behind && is(c) || slices.ContainsFunc(c.Of, func(of *policies.Condition) bool {
		return negated(of, is, behind || c.Kind == policies.Not)
	})
}

// A person is somebody in the making: values of variables, applied one after the other.
type person struct {
	now         time.Time
	anonymous   bool
	crossSite   bool
	id          policies.Identity
	client      netip.Addr
	claims      map[string][]any
	expressions map[string]policies.Truth
}

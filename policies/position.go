package policies

import (
	"maps"
	"slices"

	"github.com/viloforge/vilogate/policies/request"
)

// A Position is a place on the way along the patterns of a host, for tools that look at all ways at once. Walking by
// Start, Next and End is what Match does with the segments of a path.
type Position struct {
	n     *node // nil once the way is over
	taken *leaf // what the rest of the path leads to then, whatever it is; nil for nothing
}

// Start is where every path begins. A nil host has no patterns.
func (h *HostPolicy) Start() Position {
	if h == nil {
		return Position{}
	}
	return Position{n: &h.root}
}

// Words are the segments that lead on by name, sorted.
func (p Position) Words() []string {
	if p.n == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.n.words))
}

// Next is where a segment leads, decoded and without parameters.
func (p Position) Next(segment string) Position {
	if p.n == nil {
		return p
	}
	next := p.n.words[segment]
	if next == nil {
		next = p.n.param
	}
	if next == nil {
		return Position{taken: p.n.rest}
	}
	return Position{n: next}
}

// Over reports whether all paths that come this way are decided by the same pattern, or by none.
func (p Position) Over() bool { return p.n == nil }

// End are the routes of the pattern that a path matches which ends here; nil for none.
func (p Position) End() []*Route {
	l := p.taken
	if p.n != nil {
		if l = p.n.here; l == nil {
			l = p.n.rest
		}
	}
	if l == nil {
		return nil
	}
	return l.routes
}

// Rest are the routes of the pattern that takes the rest of the path from here; nil for none.
func (p Position) Rest() []*Route {
	if p.n == nil || p.n.rest == nil {
		return nil
	}
	return p.n.rest.routes
}

// Param is the parameter, as the first pattern that has one names it, that takes a segment which is none of Words; "" for
// none.
func (p Position) Param() string {
	if p.n == nil || p.n.param == nil {
		return ""
	}
	return ":" + p.n.param.name
}

// Routes are all routes of the host in the order of the file, those in the shadow too.
func (h *HostPolicy) Routes() []*Route { return h.routes }

// Rules are the named rules of the file by name.
func (h *HostPolicy) Rules() map[string]*Condition { return h.rules }

// Takes reports whether the route is for the method.
func (r *Route) Takes(method string) bool { return r.takes(method) }

// Segments are the segments of the pattern.
func (r *Route) Segments() []string { return r.segments }

// Permits are the odd spellings of the path that the route permits.
func (r *Route) Permits() request.Oddity { return r.permits }

// Condition is what allow: asks of somebody, or of anybody where the route is optional; nil where it asks nothing.
func (r *Route) Condition() *Condition { return r.rule.condition }

// TruthAfterLogin is what a condition of the route would come to, had this person just signed in again with a second
// factor.
func (r *Route) TruthAfterLogin(c *Condition, f Facts, id *Identity) Truth {
	return c.truth(&evaluation{facts: f, id: id, route: r, fresh: true})
}

// Closed reports whether allow: is deny.
func (r *Route) Closed() bool { return r.rule.kind == ruleDeny }

// Truth is what a condition of the route comes to, and why an expression has no answer.
func (r *Route) Truth(c *Condition, f Facts, id *Identity) (Truth, error) {
	e := &evaluation{facts: f, id: id, route: r}
	if c.Kind == Expression {
		return c.expression.evaluate(e)
	}
	return c.truth(e), nil
}

// Params are the parameters of the pattern that an expression reads, sorted; their meaning is the route's that asks.
func (c *Condition) Params() (names []string) {
	if c.expression != nil {
		for _, p := range c.expression.params {
			names = sortedWith(names, p.name)
		}
	}
	return names
}

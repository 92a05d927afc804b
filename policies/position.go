package policies

import (
	"maps"
	"slices"

	"github.com/viloforge/vilogate/policies/request"
)

// A Position is a place on the way along the patterns of a host, for tools that look at all ways at once. Walking by
// Start, Next and End is what Match does with the segments of a path.
type Position struct {
	node     *node // nil once the way is over
	catchAll *leaf // what the rest of the path leads to then, whatever it is; nil for nothing
	folds    bool  // case makes no difference
}

// Start is where every path begins. A nil host has no patterns.
func (h *HostPolicy) Start() Position {
	if h == nil {
		return Position{}
	}
	return Position{node: &h.root, folds: h.FoldsCase()}
}

// Literals are the segments that lead on by name, sorted.
func (p Position) Literals() []string {
	if p.node == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.node.literals))
}

// Next is where a segment leads, decoded and without parameters.
func (p Position) Next(segment string) Position {
	if p.node == nil {
		return p
	}
	if p.folds {
		segment = request.FoldSegment(segment)
	}
	next := p.node.literals[segment]
	if next == nil {
		next = p.node.param
	}
	if next == nil {
		return Position{catchAll: p.node.catchAll}
	}
	return Position{node: next, folds: p.folds}
}

// Done reports whether all paths that come this way are decided by the same pattern, or by none.
func (p Position) Done() bool { return p.node == nil }

// End are the routes of the pattern that a path matches which ends here; nil for none.
func (p Position) End() []*Route {
	l := p.catchAll
	if p.node != nil {
		if l = p.node.terminal; l == nil {
			l = p.node.catchAll
		}
	}
	if l == nil {
		return nil
	}
	return l.routes
}

// CatchAll are the routes of the pattern that takes the rest of the path from here; nil for none.
func (p Position) CatchAll() []*Route {
	if p.node == nil || p.node.catchAll == nil {
		return nil
	}
	return p.node.catchAll.routes
}

// Param is the parameter, as the first pattern that has one names it, that takes a segment which is none of Words; "" for
// none.
func (p Position) Param() string {
	if p.node == nil || p.node.param == nil {
		return ""
	}
	return ":" + p.node.param.name
}

// Routes are all routes of the host in the order of the file, those in the shadow too.
func (h *HostPolicy) Routes() []*Route { return h.routes }

// Rules are the named rules of the file by name.
func (h *HostPolicy) Rules() map[string]*Condition { return h.rules }

// AllowsMethod reports whether the route is for the method.
func (r *Route) AllowsMethod(method string) bool { return r.allowsMethod(method) }

// Segments are the segments of the pattern.
func (r *Route) Segments() []string { return r.segments }

// PermittedAmbiguities are the ambiguous spellings of the path that the route permits.
func (r *Route) PermittedAmbiguities() request.Ambiguity { return r.permittedAmbiguities }

// Condition is what allow: asks of somebody, or of anybody where the route is optional; nil where it asks nothing.
func (r *Route) Condition() *Condition { return r.rule.condition }

// TruthAfterStepUp is what a condition of the route would come to, had this person just signed in again with a second
// factor.
func (r *Route) TruthAfterStepUp(c *Condition, f Facts, id *Identity) Truth {
	return c.truth(&evaluation{facts: f, id: id, segments: r.segments, afterStepUp: true})
}

// DeniesAll reports whether allow: is deny.
func (r *Route) DeniesAll() bool { return r.rule.kind == ruleDeny }

// Truth is what a condition of the route comes to, and why an expression has no answer.
func (r *Route) Truth(c *Condition, f Facts, id *Identity) (Truth, error) {
	e := &evaluation{facts: f, id: id, segments: r.segments}
	if c.Kind == Expression {
		return c.expression.evaluate(e)
	}
	return c.truth(e), nil
}

// FoldsCase reports whether the path is compared without regard to case.
func (r *Route) FoldsCase() bool { return r.foldsCase }

// Params are the parameters of the pattern that an expression reads, sorted; their meaning is the route's that asks.
func (c *Condition) Params() (names []string) {
	if c.expression != nil {
		for _, p := range c.expression.params {
			names = insertSorted(names, p.name)
		}
	}
	return names
}

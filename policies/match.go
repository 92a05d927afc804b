package policies

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A Match is what the routes of a host say about a path and a method, before anybody is asked who they are.
type Match struct {
	Route   *Route           // nil where none takes the request
	Pattern string           // the pattern that the path matched; "" where none did
	Place   strictyaml.Place // of Route; else of the pattern's first route; else of the file

	// Ambiguities are the ambiguous spellings in the path that Route does not permit; all of them where Route is nil.
	Ambiguities request.Ambiguity
	// Divergence is why Route cannot take the path, whose spelling it permits: to a server that decodes it further, or takes
	// \ for /, it is not what was judged. "" where Route can.
	Divergence string
	// Allow are the methods of the pattern, and AllPublic says whether all its routes are public, where the path is
	// listed by other methods only.
	Allow     []string
	AllPublic bool
}

// Implements reports whether requests by a method may come to a route of the host: one that every host takes, or that a
// route lists.
func (h *HostPolicy) Implements(method string) bool {
	return request.IsKnownMethod(method) || slices.Contains(h.extensions, method)
}

// Match finds the route of a path and a method. It allocates nothing, unless there is case to fold.
func (h *HostPolicy) Match(p request.Path, method string) Match {
	m := Match{Ambiguities: p.Ambiguities(), Place: h.Place}
	if h.FoldsCase() {
		p = p.FoldCase()
	}
	l := h.root.find(p.String())
	if l == nil {
		return m
	}
	m.Place, m.Pattern = l.routes[0].Place, l.routes[0].Pattern
	for _, r := range l.routes {
		if r.allowsMethod(method) {
			m.Route, m.Place, m.Pattern = r, r.Place, r.Pattern
			m.Ambiguities &^= r.permittedAmbiguities
			m.Divergence = h.divergence(l, r, p)
			return m
		}
	}
	m.Allow, m.AllPublic = l.allow, l.allPublic
	return m
}

// Reasons why a route does not take a path whose spelling it permits.
const (
	reasonOtherRoute = "a server that decodes the path further, or takes \\ for / or what follows ? for a query, could find another route"
	reasonReadsPath  = "a server that decodes the path further, or takes \\ for / or what follows ? for a query, has another path or query than the policy reads"
)

// divergence holds the ways against each other in which servers read a path, where they differ: none may lead to another
// route, and none may be hidden from a condition that reads the path or the query. The path is folded where case is.
func (h *HostPolicy) divergence(l *leaf, r *Route, p request.Path) string {
	if !p.DecodesFurther() {
		return ""
	}
	separators := r.permittedAmbiguities&(request.DoubleEncoding|request.EncodedBackslash) != 0
	beforeQuery, _, query := strings.Cut(request.DecodeFully(p.String()), "?")
	switch {
	case !h.root.leadsTo(l, p.String(), h.FoldsCase(), separators), query && !h.leadsNowhereElse(l, beforeQuery):
		return reasonOtherRoute
	case r.readsPath, query && len(r.Reads.Query) > 0:
		return reasonReadsPath
	}
	return ""
}

// leadsNowhereElse reports whether no route but those of l is found by a decoded path.
func (h *HostPolicy) leadsNowhereElse(l *leaf, decoded string) bool {
	if h.FoldsCase() {
		decoded = request.FoldSegment(decoded)
	}
	other := h.root.findDecoded(decoded)
	return other == nil || other == l
}

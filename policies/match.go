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
	// Allow are the methods of the pattern, and AllPublic says whether all its routes are public, where the path is
	// listed by other methods only.
	Allow     []string
	AllPublic bool
}

// A node is a node of the tree (trie) of patterns. What leads from it is tried in the order of its fields, and the choice is
// final: that is what makes the decision about a path independent of the order of the file, and fit to be read off it.
type node struct {
	terminal *leaf            // the patterns that end here
	literals map[string]*node // by the decoded segment
	param    *node
	catchAll *leaf
	name     string // of the parameter that leads here, as the first pattern has it; for people
}

// A leaf is one pattern: its routes differ by their methods.
type leaf struct {
	routes    []*Route
	allow     []string // all their methods, sorted; nil where one takes every method
	allPublic bool
}

// maxSegment bounds the segments of a pattern, so that a path's can be decoded in place.
const maxSegment = 255

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
			return m
		}
	}
	m.Allow, m.AllPublic = l.allow, l.allPublic
	return m
}

// find walks from the root along the segments of a canonical path; nil where no pattern matches. Empty segments are left
// out, and so is what follows a semicolon: where a route does not permit that, the request is refused for it afterwards.
func (n *node) find(path string) *leaf {
	for rest := path; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if segment = cutPathParameters(segment); segment == "" {
			continue
		}
		next := n.next(segment)
		if next == nil {
			return n.catchAll
		}
		n = next
	}
	if n.terminal != nil {
		return n.terminal
	}
	return n.catchAll
}

// next is where a segment leads: by a word, else by a parameter.
func (n *node) next(segment string) *node {
	if strings.IndexByte(segment, '%') < 0 {
		if next := n.literals[segment]; next != nil {
			return next
		}
	} else if len(segment) <= 3*maxSegment { // no word is longer, however it is escaped
		var buffer [3 * maxSegment]byte
		if next := n.literals[string(request.DecodeSegment(buffer[:0], segment))]; next != nil {
			return next
		}
	}
	return n.param
}

// cutPathParameters cuts a canonical segment at its first semicolon, raw or escaped.
func cutPathParameters(segment string) string {
	segment, _, _ = strings.Cut(segment, ";")
	if i := strings.Index(segment, "%3B"); i >= 0 {
		segment = segment[:i]
	}
	return segment
}

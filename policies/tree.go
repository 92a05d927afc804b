package policies

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

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

// leadsTo reports whether a canonical path leads to l, which find has found, however often a server decodes it, and
// whether it takes \ for / or not. What could be a separator has to stand where everything is the rest, whatever is before it: as a
// part of a parameter, it would be another parameter to some, and what follows another segment.
//
// Where separators is false, the path has no more of them when it is decoded further, and only its words are compared.
func (n *node) leadsTo(l *leaf, path string, foldsCase, separators bool) bool {
	for rest := path; rest != ""; {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		decoded := request.DecodeFully(segment)
		if foldsCase {
			decoded = request.FoldSegment(decoded)
		}
		once, word := cutPathParameters(segment), firstSegment(decoded)
		if first, _, more := strings.Cut(decoded, "/"); more && separators {
			if strings.Contains(first, ";") && once == segment {
				return false // whoever cuts there has the word before it alone
			}
			return n.param == nil && n.catchAll == l && word != "" && n.literals[word] == nil
		}
		if !separators {
			word, _, _ = strings.Cut(decoded, ";")
		}
		if (once == "") != (word == "") {
			return false
		}
		if once == "" {
			continue
		}
		next := n.next(once)
		switch literal := n.literals[word]; {
		case literal != nil && literal != next, literal == nil && next != n.param:
			return false
		case next == nil:
			return true // all of it is the rest
		}
		n = next
	}
	return true
}

// findDecoded is find for a path that is decoded already.
func (n *node) findDecoded(decoded string) *leaf {
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment, _, _ = strings.Cut(segment, ";"); segment == "" {
			continue
		}
		next := n.literals[segment]
		if next == nil {
			next = n.param
		}
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

// firstSegment is the first segment of a decoded path that counts in matching, or "".
func firstSegment(decoded string) string {
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment, _, _ = strings.Cut(segment, ";"); segment != "" {
			return segment
		}
	}
	return ""
}

// add puts a route into its leaf.
func (l *leaf) add(r *Route) {
	l.allPublic = r.Public() && (l.allPublic || len(l.routes) == 0)
	l.routes = append(l.routes, r)
	l.allow = append(l.allow, r.methods...)
	slices.Sort(l.allow)
	l.allow = slices.Compact(l.allow)
}

// coversMethodsOf reports whether other routes of the pattern take every method of r.
func (l *leaf) coversMethodsOf(r *Route) bool {
	covered := func(method string) bool {
		return slices.ContainsFunc(l.routes, func(other *Route) bool { return other.allowsMethod(method) })
	}
	if r.methods == nil {
		return slices.ContainsFunc(l.routes, func(other *Route) bool { return other.methods == nil })
	}
	return !slices.ContainsFunc(r.methods, func(method string) bool { return !covered(method) })
}

// leaf is where a pattern ends, made where there is none yet.
func (n *node) leaf(segments []string) *leaf {
	slot := &n.terminal
	for _, segment := range segments {
		switch segment[0] {
		case ':':
			if n.param == nil {
				n.param = &node{name: segment[1:]}
			}
			n = n.param
			slot = &n.terminal
		case '*':
			slot = &n.catchAll
		default:
			if n.literals == nil {
				n.literals = map[string]*node{}
			}
			if n.literals[segment] == nil {
				n.literals[segment] = &node{}
			}
			n = n.literals[segment]
			slot = &n.terminal
		}
	}
	if *slot == nil {
		*slot = &leaf{}
	}
	return *slot
}

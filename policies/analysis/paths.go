package analysis

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// A pathClass is all paths that lead two hosts to the same pair of patterns.
type pathClass struct {
	before, after []*policies.Route // of the patterns; nil for none
	shapes        []shape           // ways there, not all where there are many
	more          int               // how many were left out
	open          shape             // the first way with a segment that is no word; nil for none
}

// A shape is a way along the patterns: words, ":any" for a segment that no pattern has by name, and at the end perhaps "*"
// for whatever follows.
type shape []string

const maxShapes = 4

// pathClasses are the classes of paths of two hosts, either of which may be nil.
func pathClasses(before, after *policies.HostPolicy) []*pathClass {
	var classes []*pathClass
	type pair struct{ before, after *policies.Route }
	known := map[pair]*pathClass{}
	note := func(b, a policies.Position, way shape) {
		before, after := b.End(), a.End()
		key := pair{first(before), first(after)}
		class := known[key]
		if class == nil {
			class = &pathClass{before: before, after: after}
			known[key] = class
			classes = append(classes, class)
		}
		if class.open == nil && slices.ContainsFunc(way, func(segment string) bool { return segment == ":any" || segment == "*" }) {
			class.open = slices.Clone(way)
		}
		if len(class.shapes) < maxShapes {
			class.shapes = append(class.shapes, slices.Clone(way))
		} else {
			class.more++
		}
	}
	var walk func(b, a policies.Position, way shape)
	walk = func(b, a policies.Position, way shape) {
		note(b, a, way)
		words := append(b.Literals(), a.Literals()...)
		words = append(words, otherCase(words, before, after)...)
		slices.Sort(words)
		for _, word := range slices.Compact(words) {
			if nextB, nextA := b.Next(word), a.Next(word); nextB.Done() && nextA.Done() {
				note(nextB, nextA, append(way, word))
			} else {
				walk(nextB, nextA, append(way, word))
			}
		}
		other := anyWord(words)
		if nextB, nextA := b.Next(other), a.Next(other); nextB.Done() && nextA.Done() {
			note(nextB, nextA, append(way, "*"))
		} else {
			walk(nextB, nextA, append(way, ":any"))
		}
	}
	walk(before.Start(), after.Start(), nil)
	return classes
}

// otherCase are words that the one of two hosts that folds case takes for one of the words, and the other does not.
func otherCase(words []string, before, after *policies.HostPolicy) (other []string) {
	if before == nil || after == nil || before.FoldsCase() == after.FoldsCase() {
		return nil
	}
	for _, word := range words {
		other = append(other, otherCaseOf(word), request.FoldSegment(word))
	}
	return other
}

func first(routes []*policies.Route) *policies.Route {
	if len(routes) == 0 {
		return nil
	}
	return routes[0]
}

// anyWord is a segment that is none of the words.
func anyWord(words []string) string { return otherThan(words, "x", "x") }

// String is the shape as a pattern.
func (s shape) String() string { return "/" + strings.Join(s, "/") }

// example is a path of this shape. Both hosts are asked for the words that must not stand where any other may.
func (s shape) example(before, after *policies.HostPolicy) string {
	b, a := before.Start(), after.Start()
	var path strings.Builder
	for _, segment := range s {
		if segment == ":any" || segment == "*" {
			segment = anyWord(append(b.Literals(), a.Literals()...))
		}
		b, a = b.Next(segment), a.Next(segment)
		path.WriteString("/" + escapeSegment(segment))
	}
	if path.Len() == 0 {
		return "/"
	}
	return path.String()
}

// ambiguousExample is an example with an ambiguous spelling that changes nothing about its pattern, and that is taken by the
// side that permits it; "" where it can have none.
func (c *pathClass) ambiguousExample(before, after *policies.HostPolicy, ambiguity request.Ambiguity, taken func(request.Path) bool) string {
	switch ambiguity {
	case request.DoubleSlash:
		return "/" + c.shapes[0].example(before, after)
	case request.Semicolon:
		return c.shapes[0].example(before, after) + ";x"
	}
	for _, s := range append([]shape{c.open}, c.shapes...) {
		for _, path := range s.withEscape(s.example(before, after), exampleEscapes[ambiguity]) {
			if p, err := request.ParsePath(path); err == nil && taken(p) {
				return path
			}
		}
	}
	return ""
}

// exampleEscapes make of a segment that is no word another one with an ambiguous spelling.
var exampleEscapes = map[request.Ambiguity]string{
	request.EncodedSlash: "%2Fx", request.EncodedHash: "%23x", request.DoubleEncoding: "%252Fx", request.EncodedBackslash: "%5Cx",
}

// withEscape are examples of the shape with more in a segment that is no word, the last one first.
func (s shape) withEscape(example, more string) (paths []string) {
	for at, segment := range slices.Backward(s) {
		if segment == ":any" || segment == "*" {
			segments := strings.Split(example, "/")
			segments[at+1] += more
			paths = append(paths, strings.Join(segments, "/"))
		}
	}
	return paths
}

// escapeSegment escapes a decoded segment as a path has it.
func escapeSegment(s string) string {
	const upperHex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~:@!$&'()*+,=", c) >= 0:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// otherCaseOf is a word in capital letters of ASCII, or in small ones where it is so already.
func otherCaseOf(word string) string {
	upper := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r + 'A' - 'a'
		}
		return r
	}, word)
	if upper == word {
		return request.FoldSegment(word)
	}
	return upper
}

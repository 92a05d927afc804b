package policies

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// commonMethods are what two routes both take; every is true where that is every method.
func commonMethods(a, b *Route) (methods []string, every bool) {
	switch {
	case a.methods == nil:
		return b.methods, b.methods == nil
	case b.methods == nil:
		return a.methods, false
	}
	for _, m := range a.methods {
		if b.allowsMethod(m) {
			methods = append(methods, m)
		}
	}
	return methods, false
}

// route compiles an entry of routes:.
func (c *compiler) route(h *HostPolicy, s *routeSyntax, defaults *optionsSyntax) *Route {
	r := &Route{Pattern: s.Path.text, at: s.Path.at, Place: s.Place, CORS: h.CORS, rule: c.rule(s), Acknowledged: acknowledged(s.Acknowledge)}
	r.BearerOnly, r.Optional = r.rule.bearerOnly(), r.rule.optional
	if s.Methods != nil {
		r.methods = c.methods(s.Path.at, *s.Methods)
	}
	if s.CORS != nil {
		if r.CORS = nil; !s.CORS.none {
			r.CORS = c.cors(s.CORS)
		}
	}
	r.segments = c.pattern(s.Path)
	if r.foldsCase = h.FoldsCase(); r.foldsCase {
		c.foldSegments(r)
		if own := reservedPath("/" + strings.Join(r.segments, "/")); own != "" && reservedPath(r.Pattern) == "" {
			c.errorf(r.at, "%q: the gateway answers %s itself; no backend sees it", r.Pattern, own)
		}
	}
	if r.rule.condition != nil {
		r.rule.condition.reads(&r.Reads)
		r.readsPath = r.rule.condition.readsPath()
		c.checkParams(r, r.rule.condition)
		if n := len(r.Reads.Query); n > request.MaxReadParameters {
			c.errorf(s.Place, "the policy reads %d parameters of the query, and may read %d", n, request.MaxReadParameters)
		}
	}
	c.options(r, s.withDefaults(defaults))
	h.routes = append(h.routes, r)
	return r
}

// addToTree puts a route into a tree, beside those of its pattern that take other methods.
func (c *compiler) addToTree(root *node, r *Route) {
	if r.segments == nil {
		return
	}
	l := root.leaf(r.segments)
	for _, other := range l.routes {
		alike := "which has the same pattern"
		if r.foldsCase && r.Pattern != other.Pattern && strings.EqualFold(r.Pattern, other.Pattern) {
			alike = "from which only case tells it apart, and paths are case-insensitive"
		}
		methods, every := commonMethods(other, r)
		switch {
		case every:
			c.errorf(r.at, "%q takes the same methods as the route at %s, %s", r.Pattern, other.Place, alike)
		case len(methods) > 0:
			c.errorf(r.at, "%q takes %s, and so does the route at %s, %s", r.Pattern, strings.Join(methods, ", "), other.Place, alike)
		}
	}
	l.add(r)
}

// pattern splits a pattern into its segments and checks each; nil where it is none.
func (c *compiler) pattern(w word) (segments []string) {
	fail := func(format string, a ...any) []string {
		c.errorf(w.at, format, append([]any{w.text}, a...)...)
		return nil
	}
	if !strings.HasPrefix(w.text, "/") {
		return fail("%q: a pattern begins with /")
	}
	if i := strings.IndexFunc(w.text, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`%?#\;{}`, r) }); i >= 0 {
		return fail("%q: %s", describeForbiddenByte(w.text[i]))
	}
	if own := reservedPath(w.text); own != "" {
		return fail("%q: the gateway answers %s itself; no backend sees it", own)
	}
	text := strings.TrimSuffix(w.text[1:], "/")
	if text == "" {
		return []string{}
	}
	segments = strings.Split(text, "/")
	var names []string
	for i, segment := range segments {
		name := ""
		switch {
		case segment == "":
			return fail("%q: a segment is empty; in matching, double_slash: allow takes several slashes for one")
		case segment == "." || segment == "..":
			return fail("%q: a path with a dot segment is always refused")
		case len(segment) > maxSegment:
			return fail("%q: a segment is longer than %d bytes", maxSegment)
		case segment[0] == '*' && (i != len(segments)-1 || strings.HasSuffix(w.text, "/")):
			return fail("%q: nothing can follow a *rest")
		case segment[0] == ':' || segment[0] == '*':
			if name = segment[1:]; !isName(name) {
				return fail("%q: a name of letters, digits and _ belongs behind the %c", segment[0])
			}
		case strings.Contains(segment, "*"):
			return fail("%q: a * stands at the beginning of the last segment only, as in /files/*rest")
		}
		if name != "" && slices.Contains(names, name) {
			return fail("%q: two parameters have the name %s", name)
		}
		names = append(names, name)
	}
	return segments
}

// describeForbiddenByte says why a byte cannot stand in a pattern.
func describeForbiddenByte(b byte) string {
	switch b {
	case '%':
		return "a pattern is written decoded, as it is compared: a space for %20, é for %C3%A9"
	case '?':
		return "a pattern is a path without a query"
	case ';':
		return "what follows a semicolon never counts in matching; write semicolon: allow"
	case '{', '}':
		return "a parameter is written as :name, and the rest of a path as *name"
	}
	return "a path with a control character, a backslash or # is always refused"
}

func isName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c || i == 0) {
			return false
		}
	}
	return s != ""
}

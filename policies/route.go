package policies

import (
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A Route is one entry of routes:, compiled. It is never written again.
type Route struct {
	Pattern            string
	Place              strictyaml.Place
	WebSocket          bool // a WebSocket handshake may pass
	OnStaleAllow       bool // it is served while the view of revocations is stale
	BearerOnly         bool // a cookie does not count
	MethodOverridePass bool // X-HTTP-Method-Override and its like may pass
	Optional           bool // optional authentication: anonymous requests pass, bad credentials do not
	Shadow             bool // in the shadow only: no request is decided by it

	CORS        *CORS            // the route's own, else its host's; nil for none
	CSRFExempt  []request.Origin // whose forms may be posted with a cookie, besides those of CORS.Origins
	Rate        *Rate            // nil for none
	MaxBody     int64            // in bytes; 0 for no limit of the route's own
	Timeout     time.Duration    // until the answer's header; 0 for none of the route's own
	StripPrefix string           // "" for none; ForwardPath applies it
	// ForwardedPrefix is StripPrefix in the canonical spelling of paths, as the backend is told of it.
	ForwardedPrefix string
	RewriteHost     string // a host for the backend, with or without a port; "" for the public one
	Headers         Headers
	Reads           Reads

	at                   strictyaml.Place // of the pattern
	foldsCase            bool             // the host's
	segments             []string         // of the pattern, folded where case is; nil where it is none
	methods              []string         // nil: every one
	permittedAmbiguities request.Ambiguity
	stripSegments        int // segments
	rule                 rule
}

// Public reports whether nobody is asked who they are.
func (r *Route) Public() bool { return r.rule.kind == rulePublic }

// Methods are the methods that the route takes, sorted; nil for every one. Read them only.
func (r *Route) Methods() []string { return r.methods }

// allowsMethod reports whether the route is for the method. GET implies HEAD. Methods are case-sensitive.
func (r *Route) allowsMethod(method string) bool {
	return r.methods == nil || slices.Contains(r.methods, method)
}

// requiresCookie reports whether the route is of use only to somebody whose browser sends the SSO cookie.
func (r *Route) requiresCookie() bool {
	return (r.rule.kind == ruleAuthenticated || r.rule.kind == ruleConditions) && !r.BearerOnly
}

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
	r := &Route{Pattern: s.Path.text, at: s.Path.at, Place: s.Place, CORS: h.CORS, rule: c.rule(s)}
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
	}
	if r.rule.condition != nil {
		r.rule.condition.reads(&r.Reads)
		c.checkParams(r, r.rule.condition)
		if n := len(r.Reads.Query); n > request.MaxReadParameters {
			c.errorf(s.Place, "the policy reads %d parameters of the query, and may read %d", n, request.MaxReadParameters)
		}
	}
	c.options(r, s.withDefaults(defaults))
	h.routes = append(h.routes, r)
	return r
}

// foldSegments folds the case of what stands in a pattern by name.
func (c *compiler) foldSegments(r *Route) {
	for i, segment := range r.segments {
		switch {
		case segment[0] == ':' || segment[0] == '*':
		case request.FoldsIntoASCII(segment):
			c.errorf(r.at, "%q: a letter beyond ASCII that folds into one of ASCII (U+212A, U+017F) is always refused where paths are case-insensitive", r.Pattern)
		default:
			r.segments[i] = request.FoldSegment(segment)
		}
	}
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

// knownMethods are what a method that is spelt wrongly was probably meant to be.
var knownMethods = []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}

func (c *compiler) methods(at strictyaml.Place, list []word) []string {
	if len(list) == 0 {
		c.errorf(at, "the list of methods is empty; leave it out for every method")
	}
	methods := []string{}
	for i, w := range list {
		near := strictyaml.Nearest(w.text, knownMethods)
		if request.IsKnownMethod(w.text) {
			near = ""
		}
		upper := strings.ToUpper(w.text)
		switch {
		case w.text == "CONNECT" || w.text == "TRACE" || w.text == "TRACK" || w.text == "PRI" || w.text == "*":
			c.errorf(w.at, "%s is never forwarded", w.text)
		case near != "" && near != w.text:
			c.errorf(w.at, "unknown method %q, did you mean %q?", w.text, near)
		case request.IsMethod(w.text) && w.text != upper:
			c.errorf(w.at, "a method is written in capital letters, as requests have to have it: %s, found %q", upper, w.text)
		case !request.IsMethod(w.text):
			c.errorf(w.at, "a method is one word in capital letters, found %q", w.text)
		case slices.ContainsFunc(list[:i], func(other word) bool { return other.text == w.text }):
			c.errorf(w.at, "%s stands in the list twice", w.text)
		}
		methods = append(methods, w.text)
		if w.text == "GET" {
			methods = append(methods, "HEAD")
		}
	}
	slices.Sort(methods)
	return slices.Compact(methods)
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

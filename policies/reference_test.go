package policies

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies/request"
)

// A referenceRoute is a route as people read it.
type referenceRoute struct {
	pattern string
	methods []string // nil for every one
	permits string   // the odd spelling that it permits, or ""
	public  bool
}

// reference is the matching that the design describes, written down sentence by sentence, slowly, and without a look at
// how it is done: every route is a candidate, and every segment leaves fewer.
type reference struct {
	pattern string // that the path matched; "" for none
	route   int    // that takes the method; -1 for none
	allow   []string
	public  bool // every route of the pattern
}

func referenceMatch(routes []referenceRoute, path, method string) reference {
	// "The canonical path is split, each segment percent-decoded once." In matching a run of / counts as one, and what
	// follows ; in a segment does not count.
	var segments []string
	for raw := range strings.SplitSeq(path, "/") {
		decoded, err := url.PathUnescape(raw)
		if err != nil {
			panic(err) // a canonical path has no invalid escape
		}
		if decoded, _, _ = strings.Cut(decoded, ";"); decoded != "" {
			segments = append(segments, decoded)
		}
	}
	// "A pattern matches with and without a final slash."
	split := func(pattern string) []string {
		return strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' })
	}
	var candidates []string
	for _, r := range routes {
		candidates = append(candidates, r.pattern)
	}
	only := func(keep func(pattern []string) bool) []string {
		var kept []string
		for _, c := range candidates {
			if keep(split(c)) {
				kept = append(kept, c)
			}
		}
		return kept
	}
	chosen, decided := "", false
	for i, segment := range segments {
		// "compared … segment by segment from the left: static before :param (at least one byte) before *rest … a choice
		// made further left is never taken back".
		static := only(func(p []string) bool { return i < len(p) && p[i] == segment && p[i][0] != ':' && p[i][0] != '*' })
		param := only(func(p []string) bool { return i < len(p) && p[i][0] == ':' })
		rest := only(func(p []string) bool { return i == len(p)-1 && p[i][0] == '*' })
		switch {
		case len(static) > 0:
			candidates = static
		case len(param) > 0:
			candidates = param
		case len(rest) > 0:
			chosen, decided = rest[0], true
		default:
			return reference{route: -1}
		}
		if decided {
			break
		}
	}
	if !decided {
		// "/reports/*rest matches /reports, /reports/ and all below."
		ends := only(func(p []string) bool { return len(p) == len(segments) })
		rest := only(func(p []string) bool { return len(p) == len(segments)+1 && p[len(segments)][0] == '*' })
		switch {
		case len(ends) > 0:
			chosen = ends[0]
		case len(rest) > 0:
			chosen = rest[0]
		default:
			return reference{route: -1}
		}
	}
	// "then the method among the routes of that same pattern; never a fall-back to a wider path … GET implies HEAD".
	found := reference{pattern: chosen, route: -1, public: true}
	for i, r := range routes {
		if shapeOf(r.pattern) != shapeOf(chosen) {
			continue
		}
		methods := slices.Clone(r.methods)
		if slices.Contains(methods, "GET") {
			methods = append(methods, "HEAD")
		}
		if r.methods == nil || slices.Contains(methods, method) {
			found.route, found.pattern = i, r.pattern
		}
		found.allow = append(found.allow, methods...)
		found.public = found.public && r.public
	}
	slices.Sort(found.allow)
	found.allow = slices.Compact(found.allow)
	return found
}

// shapeOf is a pattern without the names of its parameters, which make no difference.
func shapeOf(pattern string) string {
	segments := strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' })
	for i, s := range segments {
		if s[0] == ':' || s[0] == '*' {
			segments[i] = s[:1]
		}
	}
	return strings.Join(segments, "/")
}

// referenceRoutes are random routes that could stand in a file together.
func referenceRoutes(r *rand.Rand) (routes []referenceRoute) {
	words := []string{"a", "b", "é", "a b", ":x", ":y", "*rest"}
	taken := map[string]bool{}
	for range 1 + r.IntN(12) {
		pattern := ""
		for range r.IntN(4) {
			word := words[r.IntN(len(words))]
			if strings.Contains(pattern, word) && word[0] == ':' {
				continue
			}
			if pattern += "/" + word; word[0] == '*' {
				break
			}
		}
		if pattern == "" {
			pattern = "/"
		}
		for _, methods := range [][]string{{"GET"}, {"POST", "PUT"}, nil} {
			key := shapeOf(pattern)
			if methods == nil && (taken[key] || taken[key+"GET"] || taken[key+"POST"]) || methods != nil && (taken[key] || taken[key+methods[0]]) || r.IntN(3) == 0 {
				continue
			}
			if methods == nil {
				taken[key] = true
			} else {
				taken[key+methods[0]] = true
			}
			permits := []string{"", "", "double_slash", "semicolon", "encoded_slash", "encoded_hash", "double_encoding", "encoded_backslash"}[r.IntN(8)]
			routes = append(routes, referenceRoute{pattern, methods, permits, r.IntN(2) == 0})
		}
	}
	if len(routes) == 0 {
		routes = append(routes, referenceRoute{pattern: "/a"})
	}
	return routes
}

func referencePolicy(routes []referenceRoute) string {
	var b strings.Builder
	b.WriteString("host: website.viloforge.com\nupstream: website\nroutes:\n")
	for _, r := range routes {
		fmt.Fprintf(&b, "  - { path: %q, allow: %s", r.pattern, map[bool]string{true: "public", false: "authenticated"}[r.public])
		if r.methods != nil {
			fmt.Fprintf(&b, ", methods: [%s]", strings.Join(r.methods, ", "))
		}
		if r.permits != "" {
			fmt.Fprintf(&b, ", %s: allow", r.permits)
		}
		b.WriteString(" }\n")
	}
	return b.String()
}

// checkReference compares the two for one request.
func checkReference(t *testing.T, routes []referenceRoute, h *HostPolicy, raw, method string) {
	t.Helper()
	p, err := request.ParsePath(raw)
	if err != nil {
		return
	}
	want, got := referenceMatch(routes, p.String(), method), h.Match(p, method)
	permitted := p.Ambiguities()
	if want.route >= 0 {
		for oddity := request.Ambiguity(1); oddity <= request.AllAmbiguities; oddity <<= 1 {
			if routes[want.route].permits == oddity.String() {
				permitted &^= oddity
			}
		}
	}
	switch {
	case shapeOf(got.Pattern) != shapeOf(want.pattern) || (got.Pattern == "") != (want.pattern == ""),
		(got.Route != nil) != (want.route >= 0), got.Ambiguities != permitted:
		t.Fatalf("%s %q (%s) is %q, route %v, odd %q; by the design it is %q, %v, %q\n%s",
			method, raw, p, got.Pattern, got.Route != nil, got.Ambiguities, want.pattern, want.route >= 0, permitted, referencePolicy(routes))
	case got.Route == nil && want.pattern != "" && (!slices.Equal(got.Allow, want.allow) || got.AllPublic != want.public):
		t.Fatalf("%s %q: Allow is %q, all public %v; by the design it is %q, %v\n%s", method, raw, got.Allow, got.AllPublic, want.allow, want.public, referencePolicy(routes))
	case got.Route != nil && got.Route.Pattern != want.pattern:
		t.Fatalf("%s %q is taken by %s; by the design it is %s\n%s", method, raw, got.Route.Pattern, want.pattern, referencePolicy(routes))
	}
}

var referencePaths = []string{
	"/", "/a", "/a/", "/a/b", "/b/a/b", "/%c3%a9", "/é", "/a%20b", "/a/x/b", "/x", "/x/y/z", "//a", "/a//b", "/a;x/b", "/a/;x", "/a%2fb", "/a/x%2Fy",
	"/a/b/", "/%61", "/a%3bx", "/A", "/a/b/c/d", "/:x", "/*rest", "/a%2520b", "/a%23", "/a%252Fb", "/a%5Cb", "/a/x%5Cb",
}

// TestMatchingIsWhatTheDesignSays, for random routes and paths.
func TestMatchingIsWhatTheDesignSays(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(15, 16))
	for range 1500 {
		routes := referenceRoutes(r)
		h := compile(t, referencePolicy(routes))
		for _, path := range referencePaths {
			for _, method := range []string{"GET", "HEAD", "POST", "DELETE"} {
				checkReference(t, routes, h, path, method)
			}
		}
	}
}

// FuzzReference looks for routes and a path about which the matcher and the design differ.
func FuzzReference(f *testing.F) {
	for i, path := range append(referencePaths, attacks...) {
		f.Add(uint64(i), path, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, seed uint64, path string, get bool) {
		routes := referenceRoutes(rand.New(rand.NewPCG(seed, 1)))
		method := "POST"
		if get {
			method = "HEAD"
		}
		checkReference(t, routes, compile(t, referencePolicy(routes)), path, method)
	})
}

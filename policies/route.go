package policies

import (
	"slices"
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
	BearerPass         bool // beside a cookie that says who asks, a Bearer token that no issuer of ours made is the backend's
	ConnectionAuth     bool // Authorization may log in a connection, which is then one client's alone
	MethodOverridePass bool // X-HTTP-Method-Override and its like may pass
	KeepStreams        bool // what is under way goes on when it would not be admitted any more
	StreamBodies       bool // no body is held or read ahead
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
	// DefaultCacheControl is "private", "none", or "" where the file says nothing; PrivateByDefault applies it.
	DefaultCacheControl string
	Reads               Reads

	Acknowledged []Acknowledgement

	at                   strictyaml.Place // of the pattern
	foldsCase            bool             // the host's
	segments             []string         // of the pattern, folded where case is; nil where it is none
	methods              []string         // nil: every one
	permittedAmbiguities request.Ambiguity
	readsPath            bool // a condition depends on the path
	stripSegments        int  // segments
	rule                 rule
}

// An Acknowledgement says that a kind of warning about a policy is known and meant. It decides nothing.
type Acknowledgement struct {
	Kind  string
	Place strictyaml.Place
}

func acknowledged(words []word) (all []Acknowledgement) {
	for _, w := range words {
		all = append(all, Acknowledgement{w.text, w.at})
	}
	return all
}

// Public reports whether nobody is asked who they are.
func (r *Route) Public() bool { return r.rule.kind == rulePublic }

// PrivateByDefault reports whether an answer of which the backend says nothing to caches is Cache-Control: private.
func (r *Route) PrivateByDefault(signedIn bool) bool {
	return r.DefaultCacheControl == "private" || r.DefaultCacheControl == "" && signedIn && !r.Public()
}

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

// foldSegments folds the case of what stands in a pattern by name.
func (c *compiler) foldSegments(r *Route) {
	for i, segment := range r.segments {
		switch {
		case segment[0] == ':' || segment[0] == '*':
		case request.FoldsIntoASCII(segment):
			c.errorf(r.at, "%q: a letter beyond ASCII that folds into ASCII, such as ß or U+212A, is always refused where paths are case-insensitive", r.Pattern)
		case request.IsWindowsAlias(segment):
			c.errorf(r.at, "%q: a segment that ends in a dot or a space, or holds a colon, is always refused where paths are case-insensitive", r.Pattern)
		default:
			r.segments[i] = request.FoldSegment(segment)
		}
	}
}

// Terms are the terms of the route's rule.
func (r *Route) Terms() Terms { return r.rule.terms() }

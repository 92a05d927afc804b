package policies

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// An Endpoint is one of the gateway's own, which it serves on every host and which no backend sees.
type Endpoint uint8

// The endpoints.
const (
	Keys          Endpoint = iota + 1 // the JWK set that backends verify assertions with
	Me                                // who asks
	Logout                            // ends the session
	RemoveCookies                     // has the browser remove its cookies, where a sign-out cannot tell them apart
	Kept                              // shows a form that was kept while its sender signed in, or throws it away
	Clear                             // has the browser of somebody who has signed out forget pages of the host
)

// The gateway's own paths.
const (
	OwnPrefix  = "/.vilogate"
	PathMe     = OwnPrefix + "/me"
	PathLogout = OwnPrefix + "/logout"
	// PathRemoveCookies is where the form of the page goes that explains why nobody was signed out.
	PathRemoveCookies = OwnPrefix + "/remove-cookies"
	// PathKept is where a login comes back to that a form was kept for.
	PathKept = OwnPrefix + "/kept"
	// PathClear is what the page loads, as an image, that says that somebody is signed out.
	PathClear = OwnPrefix + "/clear"
	// PathSessions is the identity provider's, on the login host alone: a person's sessions, for programs.
	PathSessions = OwnPrefix + "/sessions"
	PathKeys     = wellKnown + "/jwks.json"

	wellKnown = "/.well-known/vilogate" // RFC 8615
)

// reservedPaths are answered by the gateway itself, and so is everything below them: no backend sees them, and no pattern
// can be one of them.
var reservedPaths = []string{OwnPrefix, wellKnown}

// reservedPath is the reserved path that a path is, or is below; "" where it is none of them.
func reservedPath(path string) string {
	for _, reserved := range reservedPaths {
		if rest, ok := strings.CutPrefix(path, reserved); ok && (rest == "" || rest[0] == '/') {
			return reserved
		}
	}
	return ""
}

// endpointOf is the endpoint of a canonical path, and the methods that it takes; false where there is none.
func endpointOf(path string) (e Endpoint, methods []string, ok bool) {
	switch path {
	case PathKeys:
		return Keys, readMethods, true
	case PathMe:
		return Me, readMethods, true
	case PathLogout:
		return Logout, writeMethods, true
	case PathRemoveCookies:
		return RemoveCookies, writeMethods, true
	case PathKept:
		return Kept, pageMethods, true
	case PathClear:
		return Clear, readMethods, true
	}
	return 0, nil, false
}

var (
	readMethods  = []string{"GET", "HEAD"}
	writeMethods = []string{"POST"}
	pageMethods  = []string{"GET", "HEAD", "POST"}
)

// matchEndpoint is what the gateway's own paths make of a request, before it is known who asks; ok is false where the path is none of
// them. An ambiguous spelling that a parser behind the gateway could read as one of them is refused.
func matchEndpoint(p request.Path, foldsCase bool, method string) (e Endpoint, d Decision, ok bool) {
	if foldsCase {
		p = p.FoldCase()
	}
	path := p.String()
	ambiguous := p.Ambiguities() != 0
	if reservedPath(path) == "" {
		if !ambiguous && !p.DecodesFurther() || reservedPath(decodeLenient(path, foldsCase)) == "" {
			return 0, Decision{}, false
		}
		ambiguous = true
	}
	if ambiguous {
		return 0, Decision{Outcome: BadRequest, Reason: "an ambiguous spelling of one of the gateway's own paths"}, true
	}
	e, methods, exists := endpointOf(path)
	switch {
	case !exists:
		d = Decision{Outcome: NotFound, Reason: "no such endpoint among the gateway's own paths"}
	case !slices.Contains(methods, method):
		d = Decision{Outcome: MethodNotAllowed, Reason: "an endpoint of the gateway's own that takes other methods", Allow: methods}
	case e == Keys:
		d = Decision{Outcome: Allow, Reason: "the keys that backends verify assertions with are public"}
	case e == Clear:
		d = Decision{Outcome: Allow, Reason: "it tells nobody anything"}
	}
	return e, d, true
}

// decodeLenient is a canonical path as the most lenient parser reads it: decoded to its end, with \ as /, without parameters
// and empty segments, and without what follows a ? or #.
func decodeLenient(path string, foldsCase bool) string {
	decoded := request.DecodeFully(path)
	if end := strings.IndexAny(decoded, "?#"); end >= 0 {
		decoded = decoded[:end]
	}
	if foldsCase {
		decoded = request.FoldSegment(decoded)
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(decoded, "/") {
		if segment, _, _ = strings.Cut(segment, ";"); segment != "" {
			b.WriteString("/" + segment)
		}
	}
	return b.String()
}

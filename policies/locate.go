package policies

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// A Request is what is known of a request before anything is decided: all that a decision may depend on.
type Request struct {
	Method string // as received
	Host   string // the authority, of Host or :authority, with a port or without
	Target string // path and query, as on the request line
	Client netip.Addr
	Header Fields
	Now    time.Time

	Identity      *Identity     // who asks, where that is known beforehand; nil if anonymous
	Authenticator Authenticator // how to learn who asks, where it is not. Optional.
}

// An Authenticator finds out who sends a request.
type Authenticator interface {
	// Authenticate returns who asks, nil if anonymous. It is asked at most once a request, and only where the answer depends
	// on it or the record of the decision names it: never before the spelling of the request is found to be clear, and
	// never for preflights and the login host. An error means that the request is refused, whatever its route says.
	Authenticate(*Location) (*Identity, error)
}

// Fields are header fields by canonical name (CanonicalHeader); http.Header converts to it.
type Fields map[string][]string

// Values implements Header.
func (f Fields) Values(name string) []string {
	if values, ok := f[name]; ok {
		return values
	}
	canonical, ok := request.CanonicalHeader(name)
	if !ok {
		return nil
	}
	return f[canonical]
}

// A Kind says what a request is for.
type Kind uint8

// The kinds.
const (
	Malformed     Kind = iota + 1 // it has no meaning, or more than one
	MethodRefused                 // by a method that is never forwarded (405), or that the host does not know (501)
	UnknownHost                   // no policy is for the host
	OwnPath                       // the gateway answers it itself: Location.Endpoint
	LoginHost                     // the identity provider's, which no policy names
	CORSPreflight                 // answered at the edge: Location.Preflight
	Routed                        // the routes of a policy decide
)

// String names the kind.
func (k Kind) String() string {
	return [...]string{"none", "malformed", "method-refused", "unknown-host", "own", "login-host", "preflight", "route"}[k]
}

// A Location is where a request leads, before anybody is asked who they are.
type Location struct {
	Kind Kind
	// Name is the canonical host, without a final dot; "" where the authority is none.
	Name request.Host
	// Host is the policy of the host, also where the request is malformed otherwise; nil for the login host, and where no
	// policy is for it.
	Host *HostPolicy
	// Target is canonical; the zero Target where the request is malformed or its method never forwarded.
	Target    request.Target
	Match     Match     // with Routed; with CORSPreflight, of the method that is asked about
	FinalDot  bool      // the host was named with a final dot, without which it is decided
	Endpoint  Endpoint  // with OwnPath; 0 where there is none
	Preflight Preflight // with CORSPreflight, where the decision is Allow
	Facts     Facts     // what conditions may depend on; its path is canonical, and folded where the host folds case

	request    *Request
	decision   Decision // the zero Decision where it depends on who asks
	publicPort int
}

// Reasons of decisions that are made before a route is asked.
const (
	// ReasonHopByHop: the client has a header end at the gateway that the route reads (RFC 9110, section 7.6.1).
	ReasonHopByHop = "Connection makes a header hop-by-hop that the policy reads: the backend would not get it"
	// ReasonUnknownHost: no file is for the host.
	ReasonUnknownHost = "no policy for this host (404)"
	// ReasonMethodNotImplemented: servers could read the method as another (delete as DELETE), or know it where no rule does.
	ReasonMethodNotImplemented = "the method is none of the IANA registry as it is written there, and no route of the host lists it (501)"
)

// Locate finds out where a request leads: from its canonical form over the host, the gateway's own paths, the login host and
// preflights to the route. It is the first half of [Set.Decide]; [Location.Decide] is the other.
func (s *Set) Locate(r *Request) (l Location) {
	l.publicPort = s.publicPort
	canonical := l.canonicalise(r)
	if l.Name != "" {
		l.Host = s.Lookup(l.Name)
	}
	login := string(l.Name) == s.loginHost
	switch {
	case !canonical || !l.implemented():
	case l.Host == nil && !login:
		l.Kind, l.decision = UnknownHost, Decision{Outcome: NotFound, Reason: ReasonUnknownHost}
	case login && l.Target.Path.String() == PathSessions:
		l.loginHost()
	case l.ownPath():
	case login:
		l.loginHost()
	case !l.foldCase():
	case l.preflight():
	default:
		l.route()
	}
	return l
}

// Locate does so for a request of this host, whatever name it asks for.
func (h *HostPolicy) Locate(r *Request) (l Location) {
	l.publicPort, l.Host = h.publicPort, h
	if l.canonicalise(r) && l.implemented() && !l.ownPath() && l.foldCase() && !l.preflight() {
		l.route()
	}
	return l
}

// canonicalise makes the request canonical; it reports whether the request is well-formed and its method one that is ever
// forwarded.
func (l *Location) canonicalise(r *Request) bool {
	l.request = r
	var authority string
	authority, l.FinalDot = request.TrimFinalDot(r.Host)
	switch r.Method {
	case "CONNECT", "TRACE", "TRACK":
		l.Kind = MethodRefused
		l.decision = Decision{Outcome: MethodNotAllowed, Reason: r.Method + " is never forwarded"}
		l.Name, _, _ = request.ParseAuthority(authority)
		return false
	}
	target, err := request.Canonicalise(r.Method, authority, r.Target)
	if err != nil {
		l.Name, _, _ = request.ParseAuthority(authority)
		return l.malformed(err.Error())
	}
	l.Name = target.Host
	hosts := r.Header["Host"] // beside :authority, in HTTP/2
	if slices.ContainsFunc(hosts, func(host string) bool { return host != r.Host }) {
		return l.malformed("conflicting Host and :authority")
	}
	if len(r.Header["Content-Length"]) > 1 { // HTTP/1 has refused what differs
		return l.malformed("more than one Content-Length line")
	}
	if len(r.Header["Authorization"]) > 1 {
		return l.malformed("more than one Authorization line")
	}
	if request.IsWebSocket(r.Header) {
		token, several := request.SubprotocolToken(r.Header["Sec-Websocket-Protocol"])
		if several || token != "" && len(r.Header["Authorization"]) > 0 {
			return l.malformed("a token as a subprotocol (bearer.…) beside another one, or beside Authorization")
		}
	}
	l.Target = target
	l.Facts = Facts{
		Now: r.Now, Method: target.Method, Host: target.Host, Path: target.Path, Client: r.Client, Query: target.Query, Header: r.Header,
	}
	return true
}

// RedirectsFinalDot reports whether somebody on the way to a page is to be redirected to the name of the host without its final dot:
// cookies and origins of the name with one are other ones to a browser.
func (l *Location) RedirectsFinalDot() bool {
	switch l.Kind {
	case Malformed, MethodRefused, UnknownHost:
		return false
	}
	return l.FinalDot && request.IsNavigation(l.Target.Method, l.request.Header)
}

// implemented reports whether the method is one that the host knows.
func (l *Location) implemented() bool {
	if method := l.Target.Method; request.IsKnownMethod(method) || l.Host != nil && l.Host.Implements(method) {
		return true
	}
	l.Kind, l.decision = MethodRefused, Decision{Outcome: MethodNotImplemented, Reason: ReasonMethodNotImplemented}
	return false
}

// foldCase has conditions see the path without regard to case, where the host compares it so; what is forwarded stays as it
// is. It is false where servers could fold it in more than one way.
func (l *Location) foldCase() bool {
	if !l.Host.FoldsCase() {
		return true
	}
	switch path := l.Target.Path; {
	case path.FoldsIntoASCII():
		return l.malformed("a letter beyond ASCII in the path that folds into ASCII, where paths are case-insensitive")
	case path.IsWindowsAlias():
		return l.malformed("a segment that ends in a dot or a space, or holds a colon, which Windows takes for another, where paths are case-insensitive")
	}
	l.Facts.Path = l.Facts.Path.FoldCase()
	return true
}

func (l *Location) malformed(reason string) bool {
	l.Kind, l.decision = Malformed, Decision{Outcome: BadRequest, Reason: reason}
	return false
}

// ownPath reports whether the path is one of the gateway's own, in any case where the host folds case.
func (l *Location) ownPath() (ok bool) {
	foldsCase := l.Host != nil && l.Host.FoldsCase()
	if l.Endpoint, l.decision, ok = matchEndpoint(l.Target.Path, foldsCase, l.Target.Method); ok {
		l.Kind = OwnPath
	}
	return ok
}

func (l *Location) loginHost() {
	l.Kind = LoginHost
	l.decision = Decision{Outcome: Allow, Reason: "the login host is built in, and always public"}
	if ambiguous := l.Target.Path.Ambiguities(); ambiguous != 0 {
		l.decision = Decision{Outcome: BadRequest, Reason: "ambiguous path, which the login host does not take (" + ambiguous.String() + ")"}
	}
}

// preflight reports whether the request is a CORS preflight for whose path there are rules. Any other OPTIONS request is an
// ordinary one.
func (l *Location) preflight() bool {
	if l.Target.Method != "OPTIONS" {
		return false
	}
	header := l.request.Header
	origins, methods := header["Origin"], header["Access-Control-Request-Method"]
	if !request.IsPreflight(l.Target.Method, origins, methods) {
		return false
	}
	m := l.Host.Match(l.Target.Path, methods[0])
	if l.Host.CORSFor(m) == nil {
		return false
	}
	l.Kind, l.Match = CORSPreflight, m
	l.decision = Decision{Outcome: Deny, Reason: "CORS preflight refused: no route allows this origin, method and headers", Place: m.Place, Route: m.Route}
	var names []string
	for _, line := range header["Access-Control-Request-Headers"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	var ok bool
	if l.Preflight, ok = l.Host.Preflight(l.Target.Path, origins[0], methods[0], names); ok {
		l.decision.Outcome, l.decision.Reason = Allow, "CORS preflight answered at the edge"
	}
	return true
}

// route finds the route. What the route cannot read in one way only is decided here.
func (l *Location) route() {
	l.Kind = Routed
	l.Match = l.Host.Match(l.Target.Path, l.Target.Method)
	m := &l.Match
	reason := m.ambiguity(l.Facts)
	if m.Route != nil && len(m.Route.Reads.Headers) > 0 && request.IsConnectionOption(l.request.Header["Connection"], m.Route.Reads.Headers) {
		reason = ReasonHopByHop
	}
	if reason != "" {
		l.decision = Decision{Outcome: BadRequest, Reason: reason, Place: m.Place, Route: m.Route}
	}
}

// reasonsAmbiguous are why a path is refused that holds such ambiguities, made beforehand. It is written once, here, and only
// read afterwards.
var reasonsAmbiguous = func() (reasons [request.AllAmbiguities + 1]string) {
	for a := range reasons {
		reasons[a] = "ambiguous path, which the route does not permit (" + request.Ambiguity(a).String() + ")"
	}
	return reasons
}()

// ambiguity is why the route could not be sure that a backend reads the request as it does; "" where it can.
func (m *Match) ambiguity(f Facts) string {
	switch {
	case m.Ambiguities != 0:
		return reasonsAmbiguous[m.Ambiguities]
	case m.Divergence != "":
		return m.Divergence
	case m.Route == nil:
		return ""
	case len(m.Route.Reads.Headers) > 0 && hasDuplicateHeader(f.Header, m.Route.Reads.Headers):
		return "duplicate header that the policy reads: servers could take either"
	case len(m.Route.Reads.Query) > 0 && request.CheckQuery(f.Query, m.Route.Reads.Query) != nil:
		return "ambiguous query that the policy reads (parameter pollution)"
	}
	return ""
}

// hasDuplicateHeader reports whether one of the headers has several lines.
func hasDuplicateHeader(h Header, names []string) bool {
	return h != nil && slices.ContainsFunc(names, func(name string) bool { return len(h.Values(name)) > 1 })
}

// Decided reports whether the decision is made already, whoever asks.
func (l *Location) Decided() bool { return l.decision.Outcome != 0 }

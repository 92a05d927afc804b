package policies

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// A Request is a request as tests and tools speak of it, before anything is known about it.
type Request struct {
	Method   string
	Host     string // with a port or without
	Target   string // path and query, as on a request line
	Client   netip.Addr
	Header   Fields
	Now      time.Time
	Identity *Identity // nil for nobody
}

// Fields are header fields by canonical name.
type Fields map[string][]string

// Values implements Header.
func (f Fields) Values(name string) []string {
	canonical, ok := request.CanonicalHeader(name)
	if !ok {
		return nil
	}
	return f[canonical]
}

// An Answer is what becomes of a Request, and how.
type Answer struct {
	Decision
	Host      *HostPolicy // nil where no policy is for the host
	Match     Match       // the zero Match where it did not come so far
	Facts     Facts
	Identity  *Identity // that was decided about: nobody, where a forged request is taken as anonymous
	Preflight bool      // it is a CORS preflight, which Allow answers at the edge
	Itself    bool      // the gateway settles it before any policy is asked
	Forged    bool      // it is not known to be meant by the person whose cookie it is
}

// ReasonEndsAtHop is why a request is refused before its route decides, where the client has a header end at the gateway that
// the route reads.
const ReasonEndsAtHop = "Connection names a header that the policy reads, and that the backend would not get"

// Ask decides about a request by the policies as the gateway does, from the canonical form to CSRF protection. What only
// the gateway knows is left out: whether the token is good, and whether a rate is used up.
func (s *Set) Ask(r Request) Answer {
	target, err := request.Canonicalise(r.Method, r.Host, r.Target)
	if err != nil {
		return Answer{Decision: Decision{Outcome: BadRequest, Reason: err.Error()}}
	}
	if string(target.Host) == s.loginHost {
		return Answer{Decision: Decision{Outcome: Allow, Reason: "the login host is built in, and always public"}}
	}
	h := s.Lookup(target.Host)
	if h == nil {
		return Answer{Decision: Decision{Outcome: Deny, Reason: "no policy is for this host (404)"}}
	}
	return h.ask(r, target)
}

// Ask decides about a request of this host.
func (h *HostPolicy) Ask(r Request) Answer {
	target, err := request.Canonicalise(r.Method, r.Host, r.Target)
	if err != nil {
		return Answer{Host: h, Decision: Decision{Outcome: BadRequest, Reason: err.Error(), Place: h.Place}}
	}
	return h.ask(r, target)
}

func (h *HostPolicy) ask(r Request, target request.Target) Answer {
	a := Answer{Host: h, Identity: r.Identity, Facts: Facts{
		Now: r.Now, Method: target.Method, Host: target.Host, Path: target.Path, Client: r.Client, Query: target.Query, Header: r.Header,
	}}
	if d := itself(target); d.Outcome != 0 {
		d.Place = h.Place
		a.Decision, a.Itself = d, true
		return a
	}
	origin, asked := r.Header["Origin"], r.Header["Access-Control-Request-Method"]
	if request.IsPreflight(target.Method, origin, asked) {
		a.Match = h.Match(target.Path, asked[0])
		if h.CORSOf(a.Match) != nil {
			a.Preflight = true
			a.Decision = h.askPreflight(a.Match, r, target, origin[0], asked[0])
			return a
		}
	}
	a.Match = h.Match(target.Path, target.Method)
	if m := a.Match; m.Odd == 0 && m.Route != nil && request.EndsAtHop(r.Header["Connection"], m.Route.Reads.Headers) {
		a.Decision = Decision{Outcome: BadRequest, Reason: ReasonEndsAtHop, Place: m.Place, Route: m.Route}
		return a
	}
	a.Decision = a.Match.Decide(a.Facts, a.Identity)
	if a.Outcome == Allow {
		h.guard(&a, r)
	}
	return a
}

// itself is what the gateway settles before any policy is asked; the zero Decision where it does not.
func itself(t request.Target) Decision {
	switch own := isOwn(t.Path.String()); {
	case t.Method == "CONNECT" || t.Method == "TRACE" || t.Method == "TRACK":
		return Decision{Outcome: MethodNotAllowed, Reason: t.Method + " is never forwarded"}
	case t.Path.Oddities() != 0 && (own || isOwn(plainest(t.Path.String()))):
		return Decision{Outcome: BadRequest, Reason: "an odd spelling of one of the gateway's own paths"}
	case own:
		return Decision{Outcome: Deny, Reason: "the gateway answers this path itself: no policy is asked, and no backend sees it"}
	}
	return Decision{}
}

// isOwn reports whether the gateway answers a path itself.
func isOwn(path string) bool {
	return path == "/.vilogate" || strings.HasPrefix(path, "/.vilogate/") || path == "/.well-known/vilogate/jwks.json"
}

// plainest is a canonical path as the most lenient reader sees it: decoded, without parameters and empty segments.
func plainest(path string) string {
	var b strings.Builder
	for segment := range strings.SplitSeq(string(request.DecodeSegment(nil, path)), "/") {
		if segment, _, _ = strings.Cut(segment, ";"); segment != "" {
			b.WriteString("/" + segment)
		}
	}
	return b.String()
}

func (h *HostPolicy) askPreflight(m Match, r Request, target request.Target, origin, method string) Decision {
	var headers []string
	for _, line := range r.Header["Access-Control-Request-Headers"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				headers = append(headers, name)
			}
		}
	}
	d := Decision{Outcome: Deny, Reason: "no route of this path answers a preflight for this origin, method and headers", Place: m.Place, Route: m.Route}
	if _, ok := h.Preflight(target.Path, origin, method, headers); ok {
		d.Outcome, d.Reason = Allow, "the preflight is answered at the edge"
	}
	return d
}

// guard is the CSRF rule. On a public route a forged request goes on as anonymous.
func (h *HostPolicy) guard(a *Answer, r Request) {
	if a.Identity == nil || a.Identity.Bearer || request.CSRFSafe(h.csrfFacts(a, r)) {
		return
	}
	a.Forged = true
	if a.Route.Public() {
		a.Identity = nil
		return
	}
	a.Outcome, a.Reason = Deny, "a cookie alone could have brought it about from another site (CSRF)"
}

func (h *HostPolicy) csrfFacts(a *Answer, r Request) request.CSRFFacts {
	f := request.CSRFFacts{
		Method: a.Facts.Method, WebSocket: len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket"),
		SecFetchSite: strings.Join(r.Header["Sec-Fetch-Site"], ","), SecFetchMode: strings.Join(r.Header["Sec-Fetch-Mode"], ","),
		Origin: r.Header["Origin"], Own: request.Origin("https://" + string(a.Facts.Host)), Exempt: a.Route.CSRFExempt,
	}
	if h.publicPort != 443 && h.publicPort != 0 {
		f.Own += request.Origin(":" + strconv.Itoa(h.publicPort))
	}
	if cors := a.Route.CORS; cors != nil {
		f.Allowed = cors.Origins
	}
	return f
}

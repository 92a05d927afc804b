package analysis

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// Recorded is a request of the past that a rule decided, as far as somebody wrote it down, with what became of it.
type Recorded struct {
	ID       string
	Decision string // as tests name it; "limit" is an allow that came too often
	Rule     string // the place of the rule that decided
	Method   string
	Host     string
	Path     string // canonical
	Facts    policies.Facts
	Identity *policies.Identity
	// HasFact reports whether the record holds a fact, "headers.x", "claims.y" or "query.z", or that there was none.
	HasFact func(fact string) bool
	// CrossSite says that it was refused as cross-site (CSRF), before which the rule had allowed it.
	CrossSite bool
	// ForeignBearer says that a Bearer token of no issuer of ours stood beside the cookie of who asked.
	ForeignBearer bool
}

// Request is the request as Explain takes it. CSRF is not checked again.
func (q Recorded) Request() policies.Request {
	r := policies.Request{
		Method: q.Method, Host: q.Host, Target: q.Path, Client: q.Facts.Client, Now: q.Facts.Now, Identity: q.Identity,
		Header: policies.Fields{"Sec-Fetch-Site": {"same-origin"}},
	}
	if q.CrossSite {
		r.Header = policies.Fields{"Sec-Fetch-Site": {"cross-site"}}
		if request.IsSafe(q.Method) { // then it was a WebSocket handshake
			r.Header["Upgrade"] = []string{"websocket"}
		}
	}
	if q.ForeignBearer {
		r.Header["Authorization"] = []string{"Bearer foreign"}
	}
	if fields, ok := q.Facts.Header.(policies.Fields); ok {
		for name, values := range fields {
			r.Header[name] = values
		}
	}
	return r
}

// Missing are the facts that the policies read about a recorded request and the record does not hold.
func Missing(set *policies.Set, q Recorded) []string {
	path, err := request.ParsePath(q.Path)
	h := set.Lookup(request.Host(q.Host))
	if err != nil || h == nil {
		return nil
	}
	if m := h.Match(path, q.Method); m.Route != nil {
		return missingFacts(q, m.Route.Reads)
	}
	return nil
}

// A Replay is what other policies would have made of requests of the past.
type Replay struct {
	Requests    int           `json:"requests"`
	Same        int           `json:"same"`
	Different   int           `json:"different"`
	Undecidable int           `json:"undecidable"`
	Groups      []ReplayGroup `json:"groups"` // of those that are different or undecidable, the largest first
}

// A ReplayGroup is requests of one route and method of which the same would have become.
type ReplayGroup struct {
	Host     string    `json:"host"`
	Route    string    `json:"route"` // the pattern that the path matches now; "" for none
	Method   string    `json:"method"`
	From     string    `json:"from"`
	To       string    `json:"to"`                // "undecidable" where the record lacks facts
	Missing  []string  `json:"missing,omitempty"` // those facts
	Before   string    `json:"before,omitempty"`  // the places of the rules
	After    string    `json:"after,omitempty"`
	Count    int       `json:"count"`
	Examples []string  `json:"examples"` // ids of the newest of them
	Last     time.Time `json:"last"`
}

const (
	undecidable = "undecidable"
	maxExamples = 3
)

// A Replayer collects what policies would have made of requests.
type Replayer struct {
	set    *policies.Set
	replay Replay
	groups map[string]*ReplayGroup
}

// NewReplayer replays requests against policies.
func NewReplayer(set *policies.Set) *Replayer {
	return &Replayer{set: set, groups: map[string]*ReplayGroup{}}
}

// Add replays one request. Requests are given in the order of time.
func (r *Replayer) Add(q Recorded) {
	r.replay.Requests++
	a, missing := r.decide(q)
	route := a.Decision.Route
	from, to := q.Decision, a.Outcome.Word()
	if a.Outcome == policies.Allow && from == "limit" {
		from = to
	}
	if a.CrossSite && a.Kind == policies.Routed && !route.Public() && trustsOthers(route) {
		missing = append(missing, "where the request came from")
	}
	switch {
	case len(missing) > 0:
		to = undecidable
		r.replay.Undecidable++
	case from == to:
		r.replay.Same++
		return
	default:
		r.replay.Different++
	}
	g := ReplayGroup{Host: q.Host, Route: a.Match.Pattern, Method: q.Method, From: q.Decision, To: to, Missing: missing, Before: q.Rule}
	if route != nil {
		g.After = route.Place.String()
	}
	key := strings.Join(append([]string{g.Host, g.Route, g.Method, g.From, g.To, g.Before, g.After}, missing...), "\x00")
	if r.groups[key] == nil {
		r.groups[key] = &g
	}
	known := r.groups[key]
	known.Count++
	known.Last = q.Facts.Now
	known.Examples = append(known.Examples, q.ID)
	if len(known.Examples) > maxExamples {
		known.Examples = known.Examples[1:]
	}
}

// trustsOthers reports whether requests from other origins may come with somebody's cookie.
func trustsOthers(r *policies.Route) bool {
	return len(r.CSRFExempt) > 0 || r.CORS != nil && len(r.CORS.Origins) > 0
}

// decide is the answer about a recorded request, the pattern of its path, and the facts that it depends on and the record
// does not hold.
func (r *Replayer) decide(q Recorded) (a policies.Answer, missing []string) {
	original := q.Request()
	a, _ = r.set.Decide(&original)                              // who asked is known, so that there is no error
	wasBadRequest := q.Decision == policies.BadRequest.String() // and so nobody was asked who they are
	m := a.Match
	switch {
	case a.Kind != policies.Routed || a.Outcome == policies.BadRequest:
		return a, nil
	case wasBadRequest && q.Identity == nil && (m.Route == nil && !m.AllPublic || m.Route != nil && !m.Route.Public() && !m.Route.DeniesAll()):
		if m.Route != nil {
			missing = missingFacts(q, m.Route.Reads)
		}
		return a, append(missing, "who asked")
	case m.Route == nil || m.Route.Condition() == nil:
		return a, nil
	}
	missing = missingFacts(q, m.Route.Reads)
	ambiguous := slices.ContainsFunc(missing, isQuery) || wasBadRequest // or a header was there twice
	if len(missing) == 0 || !ambiguous && !dependsOnMissing(m.Route, a.Facts, q) {
		return a, nil
	}
	return a, missing
}

func isQuery(fact string) bool { return strings.HasPrefix(fact, "query.") }

// missingFacts are the facts among those that are read which a record does not hold.
func missingFacts(q Recorded, reads policies.Reads) (missing []string) {
	lacks := func(kind string, names []string) {
		for _, name := range names {
			if fact := kind + "." + name; !q.HasFact(fact) {
				missing = append(missing, fact)
			}
		}
	}
	lacks("query", reads.Query)
	lacks("headers", reads.Headers)
	if q.Identity != nil {
		lacks("claims", reads.Claims)
		if reads.TokenLifetime {
			missing = append(missing, "token.issued_at, token.expires")
		}
	}
	return missing
}

// dependsOnMissing reports whether the decision could be another, were the facts that the record lacks others.
func dependsOnMissing(r *policies.Route, f policies.Facts, q Recorded) bool {
	if q.Identity == nil && !r.Optional {
		return false // login
	}
	truth := func(afterStepUp bool) mask {
		return truthsOf(r.Condition(), func(c *policies.Condition) mask {
			switch {
			case afterStepUp && c.CanStepUp() && q.Identity != nil:
				return maskOf(policies.True)
			case len(missingFacts(q, c.Reads())) > 0:
				return maskOf(policies.False, policies.Unknown, policies.True)
			}
			known, _ := r.Truth(c, f, q.Identity)
			return maskOf(known)
		})
	}
	holds := func(m mask) bool { return m == maskOf(policies.True) }
	never := func(m mask) bool { return m&maskOf(policies.True) == 0 }
	now := truth(false)
	switch {
	case holds(now):
		return false
	case !never(now):
		return true
	case q.Identity == nil || !r.Condition().CanStepUp():
		return false
	}
	later := truth(true)
	return !holds(later) && !never(later)
}

// Result is what came of all requests.
func (r *Replayer) Result() Replay {
	result := r.replay
	result.Groups = []ReplayGroup{}
	for _, g := range r.groups {
		result.Groups = append(result.Groups, *g)
	}
	slices.SortFunc(result.Groups, func(a, b ReplayGroup) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Host+a.Route+a.Method+a.To, b.Host+b.Route+b.Method+b.To), strings.Compare(a.Before, b.Before))
	})
	return result
}

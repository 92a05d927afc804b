package policies

import (
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// A Preflight is the answer to one.
type Preflight struct {
	Methods, Headers []string
	MaxAge           time.Duration
	Credentials      bool
}

// CORSFor are the CORS rules of a match: its route's, or its host's where there is none; nil where there are no rules.
func (h *HostPolicy) CORSFor(m Match) *CORS {
	if m.Route != nil {
		return m.Route.CORS
	}
	return h.CORS
}

// Preflight answers the question whether a page of an origin may send a request with this path, method and headers.
// Nobody is asked who they are: browsers send no credentials with it. The answer no is false.
func (h *HostPolicy) Preflight(p request.Path, origin, method string, headers []string) (Preflight, bool) {
	m := h.Match(p, method)
	cors := h.CORSFor(m)
	if m.Route == nil || m.Ambiguities != 0 || m.Divergence != "" || !h.Implements(method) || !cors.AllowsOrigin(origin) {
		return Preflight{}, false
	}
	methods := h.allowedMethods(p, method)
	if cors.Methods != nil {
		if !slices.Contains(cors.Methods, method) {
			return Preflight{}, false
		}
		methods = cors.Methods
	}
	for _, name := range headers {
		sameName := func(known string) bool { return strings.EqualFold(known, name) }
		if !slices.ContainsFunc(cors.Headers, sameName) && !slices.ContainsFunc(safelistedHeaders, sameName) {
			return Preflight{}, false
		}
	}
	return Preflight{
		Methods: methods, Headers: cors.Headers, MaxAge: cors.MaxAge, Credentials: cors.Credentials,
	}, true
}

// allowedMethods are the methods of the pattern that a path matches; asked is one of them.
func (h *HostPolicy) allowedMethods(p request.Path, requested string) []string {
	if h.FoldsCase() {
		p = p.FoldCase()
	}
	l := h.root.find(p.String())
	for _, r := range l.routes {
		if r.methods == nil {
			if slices.Contains(defaultAllowMethods, requested) {
				return defaultAllowMethods
			}
			return append([]string{requested}, defaultAllowMethods...)
		}
	}
	return l.allow
}

package policies

import (
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// CORS is what pages of other origins may do with a host, or with a route.
type CORS struct {
	Origins     []request.Origin // those listed one by one, the only ones that CSRF protection takes as our own
	Credentials bool             // with the cookie of whoever looks at the page; never beside a wildcard
	Methods     []string         // nil: those of the path's routes
	Headers     []string         // that requests may carry
	Exposed     []string         // of answers, besides those that the gateway shows always
	MaxAge      time.Duration    // of the answer to a preflight

	anyOrigin bool // "*"
	patterns  []request.OriginPattern
}

// AllowsOrigin reports whether an origin, given as the browser wrote it, may call.
func (c *CORS) AllowsOrigin(origin string) bool {
	if c == nil || origin == "" {
		return false
	}
	return c.anyOrigin || slices.Contains(c.Origins, request.Origin(origin)) ||
		slices.ContainsFunc(c.patterns, func(p request.OriginPattern) bool { return p.Match(origin) })
}

// A Preflight is the answer to one.
type Preflight struct {
	Methods, Headers []string
	MaxAge           time.Duration
	Credentials      bool
}

const preflightMaxAge = 10 * time.Minute

var (
	// defaultAllowHeaders may be sent; CORS-safelisted ones need not be named.
	defaultAllowHeaders = []string{"Authorization", "Content-Type", "X-Request-Id"}
	safelistedHeaders   = []string{"Accept", "Accept-Language", "Content-Language", "Range"}
	// defaultAllowMethods are named where a route takes every method.
	defaultAllowMethods = []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
)

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
	if m.Route == nil || m.Ambiguities != 0 || !h.Implements(method) || !cors.AllowsOrigin(origin) {
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

func (c *compiler) cors(s *corsSyntax) *CORS {
	cors := &CORS{Credentials: s.Credentials, Headers: defaultAllowHeaders, MaxAge: preflightMaxAge}
	if len(s.Origins) == 0 {
		c.errorf(s.Place, "the list of origins is empty; leave cors out if no page of another origin calls this host")
	}
	for _, w := range s.Origins {
		c.origin(cors, w)
	}
	if s.Methods != nil {
		cors.Methods = c.methods(placeOf(s.Place, *s.Methods), *s.Methods)
	}
	if s.Headers != nil {
		cors.Headers = c.headerNames(*s.Headers)
	}
	cors.Exposed = c.headerNames(s.Exposed)
	if s.MaxAge != nil {
		if cors.MaxAge = s.MaxAge.Std(); cors.MaxAge > maxPreflightAge {
			c.errorf(s.Place, "max_age is at most 1d: browsers keep the answer to a preflight no longer")
		}
	}
	return cors
}

// maxPreflightAge is what the most patient browser takes.
const maxPreflightAge = 24 * time.Hour

// origin adds an origin, a pattern of them, or all there are.
func (c *compiler) origin(cors *CORS, w word) {
	if strings.Contains(w.text, "*") {
		if cors.Credentials {
			c.errorf(w.at, "%q with credentials: true would let pages that nobody thought of act with somebody's cookie; list the origins", w.text)
		}
		if w.text == "*" {
			cors.anyOrigin = true
			return
		}
		pattern, err := request.ParseOriginPattern(w.text, c.o.PublicPort)
		switch {
		case err != nil:
			c.errorf(w.at, "%v", err)
		case slices.Contains(cors.patterns, pattern):
			c.errorf(w.at, "the origins %s stand in the list twice", pattern)
		}
		cors.patterns = append(cors.patterns, pattern)
		return
	}
	origin, err := request.ParseOrigin(w.text, c.o.PublicPort)
	switch {
	case err != nil:
		c.errorf(w.at, "%v", err)
	case slices.Contains(cors.Origins, origin):
		c.errorf(w.at, "the origin %s stands in the list twice", origin)
	}
	cors.Origins = append(cors.Origins, origin)
}

// headerNames are names of header fields, as package net/http writes them.
func (c *compiler) headerNames(list []word) []string {
	var names []string
	for _, w := range list {
		name, ok := request.CanonicalHeader(w.text)
		switch {
		case w.text == "*":
			c.errorf(w.at, "headers are listed by name: a * does not stand for Authorization in browsers, and nothing at all with credentials")
		case !ok:
			c.errorf(w.at, "a header's name is of letters, digits and hyphens, found %q", w.text)
		case slices.Contains(names, name):
			c.errorf(w.at, "%s stands in the list twice", name)
		}
		names = append(names, name)
	}
	return names
}

// AllOrigins are the origins and what stands for others, as texts.
func (c *CORS) AllOrigins() []string {
	var all []string
	for _, o := range c.Origins {
		all = append(all, string(o))
	}
	for _, p := range c.patterns {
		all = append(all, p.String())
	}
	if c.anyOrigin {
		all = append(all, "*")
	}
	return all
}

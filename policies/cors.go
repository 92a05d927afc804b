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

const preflightMaxAge = 10 * time.Minute

var (
	// defaultAllowHeaders may be sent; CORS-safelisted ones need not be named.
	defaultAllowHeaders = []string{"Authorization", "Content-Type", "X-Request-Id"}
	safelistedHeaders   = []string{"Accept", "Accept-Language", "Content-Language", "Range"}
	// defaultAllowMethods are named where a route takes every method.
	defaultAllowMethods = []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
)

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

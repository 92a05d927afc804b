package policies

import (
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// CORS is what pages of other origins may do with a host.
type CORS struct {
	Origins     []request.Origin
	Credentials bool // with the cookie of whoever looks at the page
}

// Origin reports whether the host may be called from an origin, given as the browser wrote it.
func (c *CORS) Origin(origin string) bool {
	return c != nil && slices.Contains(c.Origins, request.Origin(origin))
}

// A Preflight is the answer to one.
type Preflight struct {
	Methods, Headers []string
	MaxAge           time.Duration
	Credentials      bool
}

const preflightMaxAge = 10 * time.Minute

var (
	// preflightHeaders may be sent; those that browsers send without asking need not be named.
	preflightHeaders = []string{"Authorization", "Content-Type", "X-Request-Id"}
	unaskedHeaders   = []string{"Accept", "Accept-Language", "Content-Language", "Range"}
	// usualMethods are named where a route takes every method.
	usualMethods = []string{"DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"}
)

// Preflight answers the question whether a page of an origin may send a request with this path, method and headers.
// Nobody is asked who they are: browsers send no credentials with it. The answer no is false.
func (h *HostPolicy) Preflight(p request.Path, origin, method string, headers []string) (Preflight, bool) {
	if !h.CORS.Origin(origin) {
		return Preflight{}, false
	}
	if m := h.Match(p, method); m.Route == nil || m.Odd != 0 {
		return Preflight{}, false
	}
	for _, name := range headers {
		sameName := func(known string) bool { return strings.EqualFold(known, name) }
		if !slices.ContainsFunc(preflightHeaders, sameName) && !slices.ContainsFunc(unaskedHeaders, sameName) {
			return Preflight{}, false
		}
	}
	return Preflight{
		Methods: h.methodsOf(p, method), Headers: preflightHeaders, MaxAge: preflightMaxAge, Credentials: h.CORS.Credentials,
	}, true
}

// methodsOf are the methods of the pattern that a path matches; asked is one of them.
func (h *HostPolicy) methodsOf(p request.Path, asked string) []string {
	l := h.root.find(p.String())
	for _, r := range l.routes {
		if r.methods == nil {
			if slices.Contains(usualMethods, asked) {
				return usualMethods
			}
			return append([]string{asked}, usualMethods...)
		}
	}
	return l.allow
}

func (c *compiler) cors(s *corsSyntax) *CORS {
	cors := &CORS{Credentials: s.Credentials}
	if len(s.Origins) == 0 {
		c.errorf(s.Place, "the list of origins is empty; leave cors out if no page of another origin calls this host")
	}
	for _, w := range s.Origins {
		origin, err := request.ParseOrigin(w.text, c.o.PublicPort)
		switch {
		case err != nil:
			c.errorf(w.at, "%v", err)
		case slices.Contains(cors.Origins, origin):
			c.errorf(w.at, "the origin %s stands in the list twice", origin)
		}
		cors.Origins = append(cors.Origins, origin)
	}
	return cors
}

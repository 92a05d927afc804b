package gateway

import (
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies"
)

// header is that of an answer: an http.Header of one of the gateway's own, or the field.List of an upstream's.
type header interface {
	Set(name, value string)
	Add(name, value string)
}

// corsResult is what the CORS rules of the route, or else of the host, say about
// this request.
type corsResult struct {
	varies      bool   // there are CORS rules: every answer varies by Origin
	origin      string // the allowed origin to name, or ""
	credentials bool
	exposed     []string // besides those that the gateway shows always
}

// crossOriginOf is what the rules say about the lines of Origin; without rules,
// nothing.
func crossOriginOf(cors *policies.CORS, origins []string) corsResult {
	if cors == nil {
		return corsResult{}
	}
	if len(origins) == 1 && cors.AllowsOrigin(origins[0]) {
		return corsResult{varies: true, origin: origins[0], credentials: cors.Credentials, exposed: cors.Exposed}
	}
	return corsResult{varies: true}
}

// decorate sets the CORS headers.
func (c *corsResult) decorate(h header) {
	if !c.varies {
		return
	}
	h.Add("Vary", "Origin")
	if c.origin == "" {
		return
	}
	h.Set("Access-Control-Allow-Origin", c.origin)
	if c.credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	exposed := alwaysExposed
	if len(c.exposed) > 0 {
		exposed += ", " + strings.Join(c.exposed, ", ")
	}
	h.Set("Access-Control-Expose-Headers", exposed)
}

// alwaysExposed are the headers of answers that pages of allowed origins may
// read: what the gateway itself has to say.
const alwaysExposed = "X-Request-Id, WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy"

// dropOthers removes the backend's own CORS headers where the host's
// rules stand in for them.
func (c *corsResult) dropOthers(h *field.List) {
	if !c.varies {
		return
	}
	const prefix = "Access-Control-"
	h.DelFunc(func(name string) bool {
		return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
	})
}

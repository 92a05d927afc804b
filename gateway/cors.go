package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// crossOrigin is what the host's CORS rules say about this request.
type crossOrigin struct {
	varies      bool   // the host has CORS rules: every answer varies by Origin
	origin      string // the allowed origin to name, or ""
	credentials bool
}

// answerPreflight answers a preflight, and otherwise notes the CORS headers that
// every answer carries, refusals included. A preflight is matched by its path
// and the method asked for, without credentials.
func (x *exchange) answerPreflight() (answered bool, err error) {
	cors := x.host.CORS
	if cors == nil {
		return false, nil
	}
	origins := x.r.Header["Origin"]
	asked := x.r.Header["Access-Control-Request-Method"]
	if request.IsPreflight(x.target.Method, origins, asked) {
		x.cross.varies = true
		return true, x.preflight(origins[0], asked[0])
	}
	x.noteOrigin(cors)
	return false, nil
}

// noteOriginOfHost does so for a request that is refused before its host is
// found, as far as it has one.
func (x *exchange) noteOriginOfHost() {
	name, _, _ := strings.Cut(x.r.Host, ":")
	host, err := request.ParseHost(name)
	if err != nil {
		return
	}
	if policy := x.gen.Policies.Lookup(host); policy != nil && policy.CORS != nil {
		x.noteOrigin(policy.CORS)
	}
}

// noteOrigin notes the CORS headers that an answer to this origin carries.
func (x *exchange) noteOrigin(cors *policies.CORS) {
	x.cross.varies = true
	if origins := x.r.Header["Origin"]; len(origins) == 1 && cors.Origin(origins[0]) {
		x.cross.origin, x.cross.credentials = origins[0], cors.Credentials
	}
}

func (x *exchange) preflight(origin, method string) error {
	var wanted []string
	for _, line := range x.r.Header["Access-Control-Request-Headers"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); name != "" {
				wanted = append(wanted, name)
			}
		}
	}
	answer, ok := x.host.Preflight(x.target.Path, origin, method, wanted)
	if !ok {
		return refuseEverybody("no route of this path answers a preflight for this origin, method and headers")
	}
	h := x.w.Header()
	x.cross.origin, x.cross.credentials = origin, answer.Credentials
	h.Set("Access-Control-Allow-Methods", strings.Join(answer.Methods, ", "))
	if len(answer.Headers) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(answer.Headers, ", "))
	}
	h.Set("Access-Control-Max-Age", strconv.Itoa(int(answer.MaxAge.Seconds())))
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	x.decorate(h)
	x.outcome = outcome{decision: "preflight"}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

// decorate sets what every answer carries: the request id, the CORS headers of
// the host's rules in place of the backend's own, and the cookies to clear.
func (x *exchange) decorate(h http.Header) {
	h["X-Request-Id"] = []string{x.requestID}
	for _, line := range x.clear {
		h.Add("Set-Cookie", line)
	}
	if !x.cross.varies {
		return
	}
	h.Add("Vary", "Origin")
	if x.cross.origin == "" {
		return
	}
	h["Access-Control-Allow-Origin"] = []string{x.cross.origin}
	if x.cross.credentials {
		h["Access-Control-Allow-Credentials"] = []string{"true"}
	}
	h["Access-Control-Expose-Headers"] = []string{"X-Request-Id, WWW-Authenticate, Retry-After"}
}

// dropCrossOrigin removes the backend's own CORS headers where the host's
// rules stand in for them.
func (x *exchange) dropCrossOrigin(h http.Header) {
	if !x.cross.varies {
		return
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
}

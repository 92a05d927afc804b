package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// crossOrigin is what the CORS rules of the route, or else of the host, say about
// this request.
type crossOrigin struct {
	varies      bool   // there are CORS rules: every answer varies by Origin
	origin      string // the allowed origin to name, or ""
	credentials bool
	exposed     []string // besides those that the gateway shows always
}

// answerPreflight answers a preflight where there are CORS rules for it. It is
// matched by its path and the method asked for, without credentials.
func (x *exchange) answerPreflight() (answered bool, err error) {
	origins := x.r.Header["Origin"]
	asked := x.r.Header["Access-Control-Request-Method"]
	if !request.IsPreflight(x.target.Method, origins, asked) {
		return false, nil
	}
	match := x.host.Match(x.target.Path, asked[0])
	if x.host.CORSOf(match) == nil {
		return false, nil // an ordinary request
	}
	x.match = match
	x.cross.varies = true
	return true, x.preflight(origins[0], asked[0])
}

// noteOriginOfHost does so for a request that is refused before its host is
// found, as far as it has one.
func (x *exchange) noteOriginOfHost() {
	name, _, _ := strings.Cut(x.r.Host, ":")
	host, err := request.ParseHost(name)
	if err != nil {
		return
	}
	if policy := x.gen.Policies.Lookup(host); policy != nil {
		x.meant = host
		x.noteOrigin(policy.CORS)
	}
}

// noteOrigin notes the CORS headers that every answer carries, refusals included;
// without rules there are none.
func (x *exchange) noteOrigin(cors *policies.CORS) {
	x.cross = crossOrigin{}
	if cors == nil {
		return
	}
	x.cross.varies = true
	if origins := x.r.Header["Origin"]; len(origins) == 1 && cors.Origin(origins[0]) {
		x.cross.origin, x.cross.credentials, x.cross.exposed = origins[0], cors.Credentials, cors.Exposed
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

// decorate sets what every answer carries: the request id, the RateLimit fields,
// the CORS headers in place of the backend's own, and the cookies to clear.
func (x *exchange) decorate(h http.Header) {
	h["X-Request-Id"] = []string{x.requestID}
	x.noteRate(h)
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
	exposed := alwaysExposed
	if len(x.cross.exposed) > 0 {
		exposed += ", " + strings.Join(x.cross.exposed, ", ")
	}
	h["Access-Control-Expose-Headers"] = []string{exposed}
}

// alwaysExposed are the headers of answers that pages of allowed origins may
// read: what the gateway itself has to say.
const alwaysExposed = "X-Request-Id, WWW-Authenticate, Retry-After, RateLimit, RateLimit-Policy"

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

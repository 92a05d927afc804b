package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The gateway's own paths, on every host that it serves. No backend sees them.
const (
	ownPrefix  = "/.vilogate"
	pathKeys   = "/.well-known/vilogate/jwks.json"
	pathMe     = "/.vilogate/me"
	pathLogout = "/.vilogate/logout"
)

// endpoint returns what serves one of the gateway's own paths, and the methods
// that it takes.
func (x *exchange) endpoint(path string) (serve func() error, methods []string) {
	switch path {
	case pathKeys:
		return x.serveKeys, []string{http.MethodGet, http.MethodHead}
	case pathMe:
		return x.serveMe, []string{http.MethodGet, http.MethodHead}
	case pathLogout:
		return x.serveLogout, []string{http.MethodPost}
	default:
		return nil, nil
	}
}

// ownPath answers a request for one of the gateway's own paths. Any spelling
// that a parser behind the gateway could read as one ends here too.
func (x *exchange) ownPath() (answered bool, err error) {
	path := x.target.Path.String()
	if !isOwn(path) {
		if x.target.Path.Oddities() != 0 && isOwn(plainest(path)) {
			return false, refuseMalformed("an odd spelling of one of the gateway's own paths")
		}
		return false, nil
	}
	x.outcome.route = ownPrefix + "/*"
	x.outcome.decision = "own"
	if x.host != nil {
		x.noteOrigin(x.host.CORS)
	}
	if x.target.Path.Oddities() != 0 {
		return false, refuseMalformed("an odd spelling of one of the gateway's own paths")
	}
	serve, methods := x.endpoint(path)
	if serve == nil {
		return false, refuseNoEndpoint()
	}
	x.outcome.route = path
	if !slices.Contains(methods, x.target.Method) {
		return false, refuseMethod("an own path that takes other methods", methods)
	}
	return true, serve()
}

func isOwn(path string) bool {
	return path == pathKeys || path == ownPrefix || strings.HasPrefix(path, ownPrefix+"/")
}

// plainest is the path as the most lenient reader would see it: decoded, runs
// of slashes collapsed, parameters after ";" dropped.
func plainest(path string) string {
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return path
	}
	var b strings.Builder
	for segment := range strings.SplitSeq(decoded, "/") {
		segment, _, _ = strings.Cut(segment, ";")
		if segment != "" {
			b.WriteByte('/')
			b.WriteString(segment)
		}
	}
	return b.String()
}

func refuseNoEndpoint() error {
	return &refusal{
		status: http.StatusNotFound, decision: "own", kind: "not-found", title: "Not found",
		detail: "There is nothing at this address.", reason: "no such own path",
	}
}

// serveKeys answers with the keys that backends verify assertions with.
func (x *exchange) serveKeys() error {
	h := x.w.Header()
	x.decorate(h)
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Cache-Control", "public, max-age=60")
	h.Set("X-Content-Type-Options", "nosniff")
	x.w.WriteHeader(http.StatusOK)
	x.w.write(x.g.opts.AssertionKeys())
	return nil
}

// me is what /.vilogate/me answers. Times are seconds since 1970, as in tokens.
type me struct {
	User     string   `json:"user"`
	ID       string   `json:"id"`
	Email    string   `json:"email"`
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
	Session  string   `json:"session"`
	Issuer   string   `json:"issuer"`
	AuthTime int64    `json:"auth_time"`
	Expires  int64    `json:"expires"`
}

// serveMe answers with who asks.
func (x *exchange) serveMe() error {
	if err := x.authenticate(); err != nil {
		return err
	}
	if x.principal == nil {
		return refuseAnonymous()
	}
	c := x.claims
	answer := me{
		User: c.User(), ID: c.Subject(), Email: c.Email(), Name: c.Name(), Roles: c.Roles(),
		Session: c.Session(), Issuer: c.IssuerName(), Expires: c.Expires().Unix(),
	}
	if answer.Roles == nil {
		answer.Roles = []string{}
	}
	if t := c.AuthTime(); !t.IsZero() {
		answer.AuthTime = t.Unix()
	}
	x.decorate(x.w.Header())
	x.w.Header().Set("Cache-Control", "no-store")
	x.writeJSON(http.StatusOK, "application/json", answer)
	return nil
}

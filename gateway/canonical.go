package gateway

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// exchange is one request on its way. It is owned by the goroutine that serves
// the request, and every step adds what it found out.
type exchange struct {
	g     *Gateway
	gen   *Generation     // nil before the first one
	w     *responseWriter // &written
	r     *http.Request
	start time.Time

	client    netip.Addr // who asks, as far as trusted proxies can be believed
	viaProxy  bool       // the peer is a trusted proxy
	requestID string
	hsts      []string // as the edge has set it

	target request.Target
	host   *policies.HostPolicy // nil on the login host
	meant  request.Host         // that has a policy, where the request was refused before host was found
	match  policies.Match
	cross  crossOrigin

	credentials credentials
	claims      *token.Claims // of the credential that counts
	principal   *principal    // nil: nobody
	byCookie    bool          // the principal comes from a cookie
	keepBearer  bool          // the Authorization header is none of our business
	keepCookie  int           // index of the SSO cookie that is passed on, or -1
	clear       []string      // Set-Cookie lines for the response
	assertion   []string      // the signed assertion, where there is a principal

	decision policies.Decision
	facts    *audit.Facts  // that the rule read, for the audit log
	seconds  []Second      // that other policies would have decided, where it differs
	recorded bool          // in the audit log
	rate     *rate         // that the request was counted for, or nil
	limited  limits.Result // of it
	upstream *upstream
	outcome  outcome
	written  responseWriter
}

// parseHost is request.ParseHost for a Host header's value without its port.
func parseHost(s string) (request.Host, error) { return request.ParseHost(s) }

// begin notes when the request began, who asks, and under which id.
func (g *Gateway) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{
		g: g, gen: g.opts.Current(), r: r, start: g.opts.Now(),
		keepCookie: -1,
		hsts:       w.Header()["Strict-Transport-Security"],
	}
	x.written.ResponseWriter = w
	x.w = &x.written
	x.client = parseAddr(r.RemoteAddr)
	if x.gen != nil && len(x.gen.TrustedProxies) > 0 && x.gen.trusted(x.client) {
		x.viaProxy = true
		if id := r.Header["X-Request-Id"]; len(id) == 1 && validRequestID(id[0]) {
			x.requestID = id[0]
		}
		x.client = x.gen.clientBehind(x.client, r.Header["X-Forwarded-For"])
	}
	if x.requestID == "" {
		x.requestID = rand.Text()
	}
	return x
}

// clientBehind walks X-Forwarded-For from its end, over trusted proxies, to the
// first address that is not one of them.
func (gen *Generation) clientBehind(peer netip.Addr, lines []string) netip.Addr {
	client := peer
	rest := strings.Join(lines, ",")
	for rest != "" && gen.trusted(client) {
		last := rest
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest, last = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		addr := parseAddr(strings.TrimSpace(last))
		if !addr.IsValid() {
			break
		}
		client = addr
	}
	return client
}

// validRequestID reports whether s is [A-Za-z0-9._-]{1,128}.
func validRequestID(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 128
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// canonicalise computes the one target that is decided on and forwarded.
func (x *exchange) canonicalise() error {
	switch x.r.Method {
	case http.MethodConnect, http.MethodTrace, "TRACK":
		x.noteOriginOfHost()
		return refuseMethod("the method "+x.r.Method+" is never forwarded", nil)
	}
	target, err := request.Canonicalise(x.r.Method, x.r.Host, x.r.RequestURI)
	if err != nil {
		x.noteOriginOfHost()
		return refuseMalformed(err.Error())
	}
	x.target = target
	for _, host := range x.r.Header["Host"] { // HTTP/2 may carry it beside :authority
		if host != x.r.Host {
			return refuseMalformed("two hosts")
		}
	}
	delete(x.r.Header, "Host")
	if len(x.r.Header["Authorization"]) > 1 {
		x.noteOriginOfHost()
		return refuseMalformed("more than one Authorization line")
	}
	return nil
}

// authority is the public authority of the request's host.
func (x *exchange) authority() string { return string(x.target.Host) + x.gen.portSuffix }

// url is the public address of what was asked for.
func (x *exchange) url() string {
	u := x.gen.origin(string(x.target.Host)) + x.target.Path.String()
	if x.target.HasQuery {
		u += "?" + x.target.Query
	}
	return u
}

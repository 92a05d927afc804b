package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// allowsHeader reports whether a header of that name and class is forwarded as it came.
func (x *forwarding) allowsHeader(name string, class request.HeaderClass) bool {
	if x.gen.isTokenHeader(name) {
		class = request.IdentityHeader
		if !x.authentication.tokenHeader {
			return false
		}
	}
	switch class {
	case request.OrdinaryHeader:
		return !x.gen.isClientIPHeader(name)
	case request.OddHeader:
		return x.upstream != nil && x.upstream.OddHeaders == PassOdd && !x.gen.isClientIPHeader(name)
	case request.IdentityHeader:
		return x.upstream != nil && slices.Contains(x.upstream.PassIdentity, name)
	case request.OverrideHeader:
		return x.route() != nil && x.route().MethodOverridePass
	default:
		return false
	}
}

// isClientIPHeader reports whether trusted proxies say who asks in a header of that
// name, after folding, whatever else it may be called.
func (gen *Generation) isClientIPHeader(name string) bool {
	for _, other := range gen.ClientIPHeaders {
		if request.SameHeader(name, other) {
			return true
		}
	}
	return false
}

// cleanHeaders removes what says who or where the client is, header names that
// parsers behind the gateway fold, and the credentials that it has verified.
func (x *forwarding) cleanHeaders() error {
	x.cleaned = true
	for name := range x.r.Header {
		class := request.ClassifyHeader(name)
		if class == request.OddHeader {
			x.record.oddHeaders++
			if x.upstream != nil && x.upstream.OddHeaders == RejectOdd {
				return refuseMalformed(reasonOddHeader)
			}
		}
		if !x.allowsHeader(name, class) {
			delete(x.r.Header, name)
			x.recordDropped(name, class)
		}
	}
	if upgrade := x.r.Header["Upgrade"]; upgrade != nil && !x.allowsUpgrade() {
		delete(x.r.Header, "Upgrade")
	}
	if x.Host == nil {
		return nil
	}
	if !x.authentication.forwardBearer {
		delete(x.r.Header, "Authorization")
	}
	x.stripSubprotocolToken()
	stripCookies(x.r.Header, x.gen.Cookies, x.authentication.forwardCookie)
	if x.upstream != nil && x.upstream.Affinity == AffinityCookie {
		x.takeAffinityCookie()
	}
	return nil
}

// recordDropped notes in the record that a header is not passed on. Odd ones are counted apart, and nothing is missing where
// the gateway says the same.
func (x *forwarding) recordDropped(name string, class request.HeaderClass) {
	if class != request.OddHeader && !x.isReplaced(name) && !(x.authentication.byHeader && x.gen.isTokenHeader(name)) {
		x.record.drop(name)
	}
}

// recordRefusedHeaders notes what a request that is refused before its headers are cleaned carried of what would not have
// been passed on.
func (x *forwarding) recordRefusedHeaders() {
	if x.gen == nil || x.cleaned {
		return
	}
	if x.upstream == nil && x.Host != nil {
		x.upstream = x.gen.upstreams[x.Host.Upstream]
	}
	for name := range x.r.Header {
		if class := request.ClassifyHeader(name); !x.allowsHeader(name, class) {
			x.recordDropped(name, class)
		}
	}
}

// isReplaced reports whether a header is a trusted proxy's word about the request, in
// the place of which the gateway writes its own: nothing is missing without it.
func (x *forwarding) isReplaced(name string) bool {
	if !x.trusted {
		return false
	}
	switch name {
	case "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "Forwarded", "X-Real-Ip", "X-Request-Id", x.clientBy:
		return true
	}
	return false
}

// allowsUpgrade reports whether the request is a WebSocket handshake and its route
// allows it. Nothing else is ever upgraded: h2c would be a tunnel past the policies
// (h2c smuggling). Upstreams of HTTP/2 have no upgrades.
func (x *forwarding) allowsUpgrade() bool {
	return x.route() != nil && x.route().WebSocket && !x.speaksHTTP2() && request.IsWebSocket(x.r.Header)
}

// forwardBody gives out the body of the request, and announces the trailers that may pass.
func (x *forwarding) forwardBody(out *outgoing) {
	in := x.r
	if in.Body == nil || in.Body == http.NoBody || in.ContentLength == 0 {
		out.length = 0
		return
	}
	options := parseConnection(in.Header["Connection"])
	for name := range in.Trailer {
		if x.allowsHeader(name, request.ClassifyHeader(name)) && !forbiddenTrailer(name) && !options.has(name) &&
			(x.route() == nil || !controlsHeader(x.route(), name)) {
			if out.trailer == nil {
				out.trailer = make(http.Header, len(in.Trailer))
			}
			out.trailer[name] = nil
		}
	}
	source, _ := in.Body.(interrupter)
	out.body = &requestBody{Reader: in.Body, source: source, control: http.NewResponseController(&x.reply), limit: x.maxBody(), onEOF: func() {
		for name := range out.trailer {
			out.trailer[name] = in.Trailer[name]
		}
	}}
}

// forbiddenTrailer reports whether a field may never stand in a trailer,
// because it frames, routes or authenticates (RFC 9110, section 6.5.1), is about
// one connection, or is the gateway's to say.
func forbiddenTrailer(name string) bool {
	switch name {
	case "Set-Cookie", "X-Request-Id", "Strict-Transport-Security", "Location", "Www-Authenticate", "Content-Security-Policy",
		"Cache-Control", "Vary", "Expires", "Age", "Date", "Retry-After", "Alt-Svc":
		return true
	case "Authorization", "Cookie", "Host", "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Expect":
		return true
	}
	return request.IsHopByHop(name) || strings.HasPrefix(name, "Access-Control-")
}

package gateway

import (
	"io"
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
		return x.upstream != nil && x.upstream.Odd == PassOdd && !x.gen.isClientIPHeader(name)
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
			if x.upstream != nil && x.upstream.Odd == RejectOdd {
				return refuseMalformed(ReasonOddHeader)
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
	stripCookies(x.r.Header, x.gen.Cookies, x.authentication.forwardCookie)
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
// (h2c smuggling).
func (x *forwarding) allowsUpgrade() bool {
	return x.route() != nil && x.route().WebSocket && request.IsWebSocket(x.r.Header)
}

// forwardTrailers announces in out the trailers of in that may pass, and wraps
// out's body so that they follow it.
func (x *forwarding) forwardTrailers(in, out *http.Request) *requestBody {
	out.Trailer = nil
	if out.Body == nil {
		return nil
	}
	var announced http.Header
	for name := range in.Trailer {
		if x.allowsHeader(name, request.ClassifyHeader(name)) && !forbiddenTrailer(name) && (x.route() == nil || !controlsHeader(x.route(), name)) {
			if announced == nil {
				announced = make(http.Header, len(in.Trailer))
			}
			announced[name] = nil
		}
	}
	out.Trailer = announced
	source, _ := in.Body.(interrupter)
	body := &requestBody{ReadCloser: out.Body, source: source, limit: x.maxBody(), onEOF: func() {
		for name := range announced {
			announced[name] = in.Trailer[name]
		}
	}}
	out.Body = body
	return body
}

// cleanTrailers removes forbidden trailer fields from the upstream's response.
func cleanTrailers(resp *http.Response) {
	if resp.ContentLength >= 0 || resp.StatusCode == http.StatusSwitchingProtocols {
		return // without trailers
	}
	removeForbidden := func() {
		for name := range resp.Trailer {
			if forbiddenTrailer(name) {
				delete(resp.Trailer, name)
			}
		}
	}
	removeForbidden() // those that are announced
	resp.Body = &eofNotifier{resp.Body, removeForbidden}
}

// eofNotifier calls onEOF when the body has been read.
type eofNotifier struct {
	io.ReadCloser
	onEOF func()
}

func (b *eofNotifier) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.onEOF()
	}
	return n, err
}

// forbiddenTrailer reports whether a field may never stand in a trailer,
// because it frames, routes or authenticates (RFC 9110, section 6.5.1), or is
// the gateway's to say.
func forbiddenTrailer(name string) bool {
	switch name {
	case "Set-Cookie", "X-Request-Id", "Strict-Transport-Security", "Location", "Www-Authenticate", "Content-Security-Policy":
		return true
	case "Authorization", "Cookie", "Host", "Content-Length", "Transfer-Encoding", "Trailer", "Te",
		"Content-Encoding", "Content-Type", "Content-Range", "Connection", "Upgrade", "Expect":
		return true
	}
	return strings.HasPrefix(name, "Access-Control-")
}

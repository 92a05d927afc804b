package gateway

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

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

// requestBody is the body on its way to the backend. It keeps the read error, so
// that a client's fault is not reported as the upstream's, and at EOF it copies the
// trailers that may pass.
type requestBody struct {
	io.ReadCloser
	source interrupter // what the edge reads from the client; nil where it cannot be interrupted
	onEOF  func()
	limit  int64 // bytes that the route takes; 0 for no limit
	read   int64 // owned by whoever reads

	mu          sync.Mutex // ReverseProxy and the transport may look at err at once
	err         error      // io.EOF at the end
	interrupted bool       // guarded by mu: the upstream closed its connection before the end
	once        sync.Once
}

// An interrupter is a body whose reading can be ended from another goroutine, also
// while it waits for the client. Package edge has it.
type interrupter interface{ Interrupt() error }

// errUpstreamClosed is the error of reads that interrupt has ended.
var errUpstreamClosed = errors.New("the upstream closed its connection before the request's body had ended")

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.read += int64(n); b.limit > 0 && b.read > b.limit {
		// The backend sees the body end within it, and no more than it takes.
		n, err = n-int(b.read-b.limit), &http.MaxBytesError{Limit: b.limit}
		b.read = b.limit
	}
	if err != nil {
		b.mu.Lock()
		if b.interrupted && err != io.EOF {
			err = errUpstreamClosed
		}
		b.err = err
		b.mu.Unlock()
		if err == io.EOF {
			b.once.Do(b.onEOF)
		}
	}
	return n, err
}

// Close does nothing: the body belongs to the server, which closes it when the
// handler has returned. A transport that could not connect must not.
func (b *requestBody) Close() error { return nil }

// interrupt ends the reading of a body that nobody takes any more.
func (b *requestBody) interrupt() {
	b.mu.Lock()
	if b.err != nil || b.source == nil {
		b.mu.Unlock()
		return
	}
	b.interrupted = true
	b.mu.Unlock()
	_ = b.source.Interrupt() // it fails where the client's connection is closed, which ends the read as well
}

// readErr is the error of reading the body for which the client is to blame, or nil.
func (b *requestBody) readErr() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF || b.interrupted {
		return nil
	}
	return b.err
}

// wasInterrupted reports whether interrupt has ended the reading.
func (b *requestBody) wasInterrupted() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.interrupted
}

// ended reports whether the body was read to its end.
func (b *requestBody) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
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

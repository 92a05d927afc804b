package gateway

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/viloforge/vilogate/policies/request"
)

// allows reports whether a header of that class goes on to the upstream.
func (x *forwarding) allows(class request.HeaderClass) bool {
	switch class {
	case request.OrdinaryHeader:
		return true
	case request.OddHeader:
		return x.upstream != nil && x.upstream.Odd == PassOdd
	case request.OverrideHeader:
		return x.route() != nil && x.route().MethodOverridePass
	default:
		return false
	}
}

// cleanHeaders removes from the request what only the gateway may say, what
// parsers behind it would dispute, and the credentials that it has judged.
func (x *forwarding) cleanHeaders() error {
	for name := range x.r.Header {
		class := request.ClassifyHeader(name)
		if class == request.OddHeader {
			x.record.oddHeaders++
			if x.upstream != nil && x.upstream.Odd == RejectOdd {
				return refuseMalformed(ReasonOddHeader)
			}
		}
		if !x.allows(class) {
			delete(x.r.Header, name)
		}
	}
	if upgrade := x.r.Header["Upgrade"]; upgrade != nil && !x.mayUpgrade() {
		delete(x.r.Header, "Upgrade")
	}
	if x.Host == nil {
		return nil
	}
	if !x.authentication.keepBearer {
		delete(x.r.Header, "Authorization")
	}
	stripCookies(x.r.Header, x.gen.Cookies, x.authentication.keepCookie)
	return nil
}

// mayUpgrade reports whether the request asks for a WebSocket and may have one.
// Nothing else is ever upgraded: an "h2c" would be a tunnel past the policies.
func (x *forwarding) mayUpgrade() bool {
	return x.route() != nil && x.route().WebSocket && isWebSocket(x.r)
}

// isWebSocket reports whether r is a WebSocket handshake (RFC 6455, section 4.1).
func isWebSocket(r *http.Request) bool {
	upgrade := r.Header["Upgrade"]
	return len(upgrade) == 1 && strings.EqualFold(strings.TrimSpace(upgrade[0]), "websocket")
}

// requestBody is the body on its way to the backend. It remembers how reading
// failed, so that a client's fault is not called the backend's, and at its end
// it hands on the trailers that may pass.
type requestBody struct {
	io.ReadCloser
	finish func()
	most   int64       // bytes that the route takes; 0 for no limit
	read   int64       // owned by whoever reads
	closed atomic.Bool // nothing more is read for the backend

	mu   sync.Mutex // ReverseProxy and the transport may look at err at once
	err  error      // io.EOF at the end
	once sync.Once
}

func (b *requestBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.ReadCloser.Read(p)
	if b.read += int64(n); b.most > 0 && b.read > b.most {
		// The backend sees the body end within it, and no more than it takes.
		n, err = n-int(b.read-b.most), &http.MaxBytesError{Limit: b.most}
		b.read = b.most
	}
	if err != nil {
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
		if err == io.EOF {
			b.once.Do(b.finish)
		}
	}
	return n, err
}

// Close does nothing: the body belongs to the server, which closes it when the
// handler has returned. A transport that could not connect must not.
func (b *requestBody) Close() error { return nil }

// failure is how reading the body failed, or nil.
func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// ended reports whether the body was read to its end.
func (b *requestBody) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// carryTrailers announces in out the trailers of in that may pass, and wraps
// out's body so that they follow it.
func (x *forwarding) carryTrailers(in, out *http.Request) *requestBody {
	out.Trailer = nil
	if out.Body == nil {
		return nil
	}
	var announced http.Header
	for name := range in.Trailer {
		if x.allows(request.ClassifyHeader(name)) && !forbiddenTrailer(name) && (x.route() == nil || !speaksOf(x.route(), name)) {
			if announced == nil {
				announced = make(http.Header, len(in.Trailer))
			}
			announced[name] = nil
		}
	}
	out.Trailer = announced
	body := &requestBody{ReadCloser: out.Body, most: x.mostBody(), finish: func() {
		for name := range announced {
			announced[name] = in.Trailer[name]
		}
	}}
	out.Body = body
	return body
}

// cleanTrailers keeps the backend from saying in a trailer what it may not say
// in the header.
func cleanTrailers(resp *http.Response) {
	if resp.ContentLength >= 0 || resp.StatusCode == http.StatusSwitchingProtocols {
		return // without trailers
	}
	drop := func() {
		for name := range resp.Trailer {
			if forbiddenTrailer(name) {
				delete(resp.Trailer, name)
			}
		}
	}
	drop() // those that are announced
	resp.Body = &endOfBody{resp.Body, drop}
}

// endOfBody calls ended when the body has been read.
type endOfBody struct {
	io.ReadCloser
	ended func()
}

func (b *endOfBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended()
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

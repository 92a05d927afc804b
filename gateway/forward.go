package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// forwarding is what the upstream is sent.
type forwarding struct {
	*decided
	upstream  *upstream // nil on the login host
	assertion []string  // the signed assertion, where there is a principal
}

// prepare readies the request for its upstream: what a stranger could have
// forged goes, and what only the gateway can say is made.
func (x *exchange) prepare() error {
	f := &x.forwarding
	if f.Kind == policies.Routed {
		if f.upstream = x.gen.upstreams[f.Host.Upstream]; f.upstream == nil {
			return refuseUnavailable("the policy's upstream " + f.Host.Upstream + " is not configured")
		}
	}
	if f.allowsUpgrade() && x.r.ContentLength != 0 {
		return refuseMalformed("a WebSocket handshake with a body")
	}
	if err := f.cleanHeaders(); err != nil {
		return err
	}
	return f.prepareAssertion()
}

// forward is the one narrow seam to the backends: everything before it has
// decided, nothing after it decides. It streams both ways, flushes event
// streams, and stops the backend when the client goes away.
func (x *forwarding) forward() error {
	if x.Kind == policies.LoginHost {
		return x.forwardToLogin()
	}
	x.record.decision = "allow"
	x.record.upstream = x.upstream.Name
	transport := x.upstream.transport
	switch timeout := x.route().Timeout; {
	case x.allowsUpgrade() || isGRPC(x.r.Header):
		transport = x.upstream.noTimeout // no response header timeout for streams
	case timeout > 0:
		transport = &failover{x.g.transports.of(timeout), x.upstream}
	}
	return x.proxy(x.upstream.nextURL(), transport)
}

// proxy sends the request to target and streams the answer back. Refusals of
// the backend's making come back as errors only while nothing is written.
func (x *forwarding) proxy(target *url.URL, transport http.RoundTripper) error {
	var failed error
	var body *requestBody
	p := &httputil.ReverseProxy{
		Transport:  transport,
		BufferPool: buffers{},
		ErrorLog:   x.g.proxyLog,
		Rewrite: func(pr *httputil.ProxyRequest) {
			x.rewrite(pr.Out, target)
			body = x.forwardTrailers(pr.In, pr.Out)
			x.setIdentity(pr.Out.Header)
			x.editRequest(pr.Out)
		},
		ModifyResponse: func(resp *http.Response) error {
			x.record.upstreamTime = x.g.opts.Now().Sub(x.start)
			x.cleanResponse(resp)
			x.editResponse(resp.Header)
			x.reply.setCommonHeaders(resp.Header)
			if resp.StatusCode != http.StatusSwitchingProtocols {
				x.announceClose(resp.Header, body)
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	// net/http's HTTP/1 server would otherwise read the rest of the body away when the answer's header is written, while the
	// upstream's connection still reads it: two readers of one body.
	if err := http.NewResponseController(&x.reply).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("gateway: enabling full duplex: %w", err)
	}
	p.ServeHTTP(&x.reply, x.r)
	if failed == nil {
		return nil
	}
	x.announceClose(x.reply.Header(), body)
	return x.upstreamFailure(failed, body)
}

// announceClose says that the connection ends with this answer, where the header
// leaves before an HTTP/1 body has ended. In full duplex net/http passes over the
// rest of such a body after the answer, and takes its end for the time to watch the
// connection, which is when it reads the next request.
func (x *forwarding) announceClose(h http.Header, body *requestBody) {
	if body != nil && x.r.ProtoMajor == 1 && !body.ended() {
		h["Connection"] = []string{"close"}
	}
}

// rewrite writes the outgoing request line from the canonical target, and the
// headers that say on whose behalf the gateway asks.
func (x *forwarding) rewrite(out *http.Request, target *url.URL) {
	path := x.forwardPath()
	decoded := path
	if strings.IndexByte(path, '%') >= 0 {
		// The canonical path holds no invalid escape.
		decoded, _ = url.PathUnescape(path)
	}
	out.URL = &url.URL{
		Scheme: target.Scheme, Host: target.Host, Path: decoded, RawPath: path,
		RawQuery: x.Target.Query, ForceQuery: x.Target.HasQuery && x.Target.Query == "",
	}
	out.Host = x.authority()
	client := request.AddressText(x.client)
	values := [...]string{x.requestID, client, out.Host, "https", forwarded(client, out.Host)}
	h := out.Header
	h["X-Request-Id"] = values[0:1:1]
	if x.client.IsValid() {
		h["X-Real-Ip"] = values[1:2:2]
	}
	h["X-Forwarded-For"] = values[1:2:2]
	h["X-Forwarded-Host"] = values[2:3:3]
	h["X-Forwarded-Proto"] = values[3:4:4]
	h["Forwarded"] = values[4:5:5]
	if x.clientBy != "" && x.client.IsValid() {
		h[x.clientBy] = values[1:2:2]
	}
}

// forwarded is the Forwarded header's value (RFC 7239, section 4).
func forwarded(client, authority string) string {
	if strings.IndexByte(client, ':') >= 0 {
		client = "\"[" + client + "]\""
	}
	if strings.IndexByte(authority, ':') >= 0 {
		authority = "\"" + authority + "\""
	}
	return "for=" + client + ";host=" + authority + ";proto=https"
}

// cleanResponse removes from an answer what only the gateway may say.
func (x *forwarding) cleanResponse(resp *http.Response) {
	h := resp.Header
	cleanTrailers(resp)
	x.reply.cors.dropOthers(h)
	delete(h, "X-Request-Id")
	if x.hsts != nil {
		// Once only, and also after an informational answer, which empties
		// what was set before.
		delete(x.reply.Header(), "Strict-Transport-Security")
		h["Strict-Transport-Security"] = x.hsts
	}
	if x.Host == nil || len(x.gen.Cookies) == 0 || x.gen.Cookies[0].Issuer != token.OwnIssuer {
		return
	}
	// A backend does not sign people in: our own SSO cookie is the IdP's.
	own := x.gen.Cookies[0].Name
	kept := h["Set-Cookie"][:0]
	for _, line := range h["Set-Cookie"] {
		// A cookie without a name comes back as its value alone.
		if name, _, _ := strings.Cut(strings.TrimLeft(line, " \t="), "="); strings.TrimSpace(name) != own {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

// upstreamFailure maps an error of the round trip: client closed request (499), a
// failed read of the request body, or the upstream's (502, 504).
func (x *forwarding) upstreamFailure(err error, body *requestBody) error {
	cause := body.readErr()
	stalled := errors.Is(cause, os.ErrDeadlineExceeded) // net/http then cancels the context, too
	if !stalled && (x.r.Context().Err() != nil || errors.Is(err, context.Canceled)) {
		x.record.status, x.record.reason = statusClientClosedRequest, "client closed request"
		// Returning would have net/http say 200 to whoever still listens.
		panic(http.ErrAbortHandler)
	}
	if cause != nil {
		return refuseBodyRead(cause)
	}
	x.record.upstreamError = true
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return refuseUpstream(http.StatusGatewayTimeout, "upstream timeout", err)
	}
	return refuseUpstream(http.StatusBadGateway, "upstream request failed", err)
}

func isGRPC(h http.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "application/grpc")
}

// failover retries at the upstream's other addresses when dialling one failed.
// Nothing was sent then, so that nothing is sent twice (also not idempotent requests).
type failover struct {
	next     http.RoundTripper
	upstream *upstream
}

func (f *failover) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.next.RoundTrip(r)
	for range len(f.upstream.URLs) - 1 {
		var op *net.OpError
		if err == nil || !errors.As(err, &op) || op.Op != "dial" || r.Context().Err() != nil {
			break
		}
		again := *r
		address := *r.URL
		again.URL = &address
		again.URL.Host = f.upstream.nextURL().Host
		resp, err = f.next.RoundTrip(&again)
	}
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", f.upstream.Name, err)
	}
	return resp, nil
}

// loginTimeout bounds the wait for an identity provider in another process.
const loginTimeout = 30 * time.Second

// transports are the connections to the upstreams: one pool for each header
// timeout in use. They outlive generations, so that a reload drops nothing.
type transports struct {
	mu    sync.Mutex
	pools sync.Map // time.Duration → *http.Transport; written under mu
}

// of returns the pool for that header timeout; zero means none.
func (t *transports) of(timeout time.Duration) http.RoundTripper {
	if pool, ok := t.pools.Load(timeout); ok {
		return pool.(*http.Transport)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pool, _ := t.pools.LoadOrStore(timeout, newTransport(timeout))
	return pool.(*http.Transport)
}

// prepare makes the pools that gen needs, and gives them to its upstreams.
func (t *transports) prepare(gen *Generation) {
	for _, u := range gen.upstreams {
		u.transport, u.noTimeout = &failover{t.of(u.Timeout), u}, &failover{t.of(0), u}
	}
	if u := gen.login; u != nil {
		u.transport = &failover{t.of(loginTimeout), u}
	}
}

// retire forgets the pools that gen does not need, and closes what is idle in
// them; requests under way finish on theirs.
func (t *transports) retire(gen *Generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	needed := map[time.Duration]bool{}
	if gen != nil {
		needed[0], needed[loginTimeout] = true, true
		for _, u := range gen.upstreams {
			needed[u.Timeout] = true
		}
		for _, host := range gen.Policies.Hosts() {
			for _, route := range gen.Policies.Policy(host).Routes() {
				needed[route.Timeout] = true
			}
		}
	}
	t.pools.Range(func(key, pool any) bool {
		if !needed[key.(time.Duration)] {
			t.pools.Delete(key)
			pool.(*http.Transport).CloseIdleConnections()
		}
		return true
	})
}

func newTransport(headerTimeout time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        60 * time.Second,
		ResponseHeaderTimeout:  headerTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // what the backend sent is what the client gets
	}
}

// buffers lends the buffers that bodies are copied through.
type buffers struct{}

const copyBuffer = 32 << 10

var bufferPool = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// Get implements httputil.BufferPool.
func (buffers) Get() []byte { return bufferPool.Get().(*[copyBuffer]byte)[:] }

// Put implements httputil.BufferPool.
func (buffers) Put(b []byte) { bufferPool.Put((*[copyBuffer]byte)(b[:copyBuffer])) }

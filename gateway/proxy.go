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

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// proxy sends the request to host, an upstream's address, and streams the answer back. Refusals of
// the backend's making come back as errors only while nothing is written.
func (x *forwarding) proxy(host string, transport http.RoundTripper) error {
	var failed error
	var body *requestBody
	p := &httputil.ReverseProxy{
		Transport:  transport,
		BufferPool: buffers{},
		ErrorLog:   x.g.proxyLog,
		Rewrite: func(pr *httputil.ProxyRequest) {
			x.rewrite(pr.Out, host)
			body = x.forwardTrailers(pr.In, pr.Out)
			x.setIdentity(pr.Out.Header)
			x.editRequest(pr.Out)
		},
		ModifyResponse: func(resp *http.Response) error {
			x.record.upstreamTime = x.g.opts.Now().Sub(x.start)
			x.cleanResponse(resp)
			x.checkConnectionChallenges(resp.Header)
			x.editResponse(resp.Header)
			x.rotate(resp.StatusCode)
			if resp.StatusCode != http.StatusSwitchingProtocols {
				x.limitCaching(resp.Header)
			}
			x.reply.setCommonHeaders(resp.Header)
			if resp.StatusCode != http.StatusSwitchingProtocols {
				x.announceClose(resp.Header, body)
				x.stream.setAnswer(resp.Body)
			} else if x.allowsUpgrade() {
				x.upgradeTunnel(resp)
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
	if x.allowsUpgrade() {
		p.ServeHTTP(upgradeWriter{&x.reply, &x.stream}, x.r)
	} else {
		p.ServeHTTP(&x.reply, x.r)
	}
	if failed == nil {
		return nil
	}
	x.announceClose(x.reply.Header(), body)
	x.unsent = isUnsent(failed, body)
	return x.upstreamFailure(failed, body)
}

// isUnsent reports whether a request that failed certainly reached no upstream.
func isUnsent(err error, body *requestBody) bool {
	var op *net.OpError
	return body != nil && !body.connected || errors.As(err, &op) && op.Op == "dial"
}

// rewrite writes the outgoing request line from the canonical target, and the
// headers that say on whose behalf the gateway asks.
func (x *forwarding) rewrite(out *http.Request, host string) {
	path := x.forwardPath()
	decoded := path
	if strings.IndexByte(path, '%') >= 0 {
		// The canonical path holds no invalid escape.
		decoded, _ = url.PathUnescape(path)
	}
	out.URL = &url.URL{
		Scheme: "http", Host: host, Path: decoded, RawPath: path,
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
	stalled := errors.Is(cause, os.ErrDeadlineExceeded)
	// net/http cancels the context, too, when a read of the body fails.
	if !stalled && !body.wasInterrupted() && (x.r.Context().Err() != nil || errors.Is(err, context.Canceled)) {
		x.record.status, x.record.reason = statusClientClosedRequest, "client closed request"
		// Returning would have net/http say 200 to whoever still listens.
		panic(http.ErrAbortHandler)
	}
	if cause != nil {
		return refuseBodyRead(cause)
	}
	x.record.upstreamError = true
	if isTimeout(err) {
		return refuseUpstream(http.StatusGatewayTimeout, "upstream timeout", err)
	}
	return refuseUpstream(http.StatusBadGateway, "upstream request failed", err)
}

// buffers lends the buffers that bodies are copied through.
type buffers struct{}

const copyBuffer = 32 << 10

var bufferPool = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// Get implements httputil.BufferPool.
func (buffers) Get() []byte { return bufferPool.Get().(*[copyBuffer]byte)[:] }

// Put implements httputil.BufferPool.
func (buffers) Put(b []byte) { bufferPool.Put((*[copyBuffer]byte)(b[:copyBuffer])) }

// announceClose says that the connection ends with this answer, where the header
// leaves before an HTTP/1 body has ended. In full duplex net/http passes over the
// rest of such a body after the answer, and takes its end for the time to watch the
// connection, which is when it reads the next request.
func (x *forwarding) announceClose(h http.Header, body *requestBody) {
	if body != nil && x.r.ProtoMajor == 1 && !body.ended() {
		h["Connection"] = []string{"close"}
	}
}

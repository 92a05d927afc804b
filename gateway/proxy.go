package gateway

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// proxyToAny sends the request to an address of u, over connections that all share.
func (x *forwarding) proxyToAny(u *upstream, timeout time.Duration) error {
	x.attempts.begin(u, x.g.connections, x.admissionClient(), x.affinityKey())
	defer x.attempts.end()
	return x.proxy(&x.attempts, timeout)
}

// proxy sends the request to an upstream, the header of whose answer may take so long (0: any time), and streams the answer
// back. Refusals of the backend's making come back as errors only while nothing is written.
func (x *forwarding) proxy(to sender, timeout time.Duration) error {
	out := &x.out
	out.begin(x.r, x.fields)
	x.rewrite(out)
	x.forwardBody(out)
	if err := out.probe(); err != nil {
		return refuseBodyRead(err)
	}
	defer out.body.close()
	if err := x.bufferBody(out); err != nil {
		return err
	}
	x.setIdentity(&out.header)
	x.forwardSubprotocolToken(&out.header)
	x.editRequest(out)
	if out.upgrade != "" && x.opensStream() {
		out.setWebSocketKey()
	}
	head := headBuffers.Get().(*[headBuffer]byte)
	var err error
	if x.speaksHTTP2() {
		err = out.finishHTTP2(head[:0])
	} else {
		err = out.finish(head[:0], out.upgrade == "" && x.closesConnections())
	}
	if err != nil {
		return refuseUpstream(http.StatusBadGateway, "upstream request failed", err)
	}
	if out.request.Preface, err = x.proxyHeader(); err != nil {
		return err
	}
	out.request.HeaderTimeout, out.request.Informational = timeout, x.earlyHints
	if out.body != nil && !out.body.ended() {
		if err := http.NewResponseController(&x.reply).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("gateway: enabling full duplex: %w", err)
		}
	}
	ctx, cancel := x.callContext()
	defer cancel()
	answer, err := to.send(ctx, out)
	headBuffers.Put(head) // now, since a tunnel may stay open for hours
	if err != nil {
		if x.endUnanswered(err) {
			return nil
		}
		x.unsent = isUnsent(err)
		return x.upstreamFailure(err, out.body)
	}
	defer answer.Close()
	return x.answerWith(answer, out)
}

// closesConnections reports whether a connection to the upstream serves one request alone.
func (x *forwarding) closesConnections() bool {
	return x.own == nil && x.upstream != nil && x.upstream.KeepAlive < 0
}

// answerWith passes an upstream's answer on.
func (x *forwarding) answerWith(answer *upstreamAnswer, out *outgoing) error {
	x.record.upstreamTime = x.g.opts.Now().Sub(x.start)
	if err := out.checkHandshake(&answer.Head); err != nil {
		return err
	}
	status := answer.Head.Status
	h := &answer.Head.Fields
	announced, options := cleanFraming(&answer.Head)
	events := isEventStream(*h)
	x.cleanResponse(h)
	x.checkConnectionChallenges(h)
	x.editResponse(h)
	x.rotate(status)
	if status != http.StatusSwitchingProtocols {
		x.limitCaching(h)
	}
	x.reply.setCommonHeaders(h)
	if status == http.StatusSwitchingProtocols {
		x.selectSubprotocol(h)
		return x.upgrade(*h, answer)
	}
	x.stream.setAnswer(answer)
	announced = slices.DeleteFunc(announced, h.Has) // else HTTP/2 and HTTP/3 have them in the trailers alone
	if len(announced) > 0 {
		h.Add("Trailer", strings.Join(announced, ", "))
	}
	x.reply.writeFields(status, *h)
	x.copyAnswer(answer, out.body, !events)
	x.noteStatus(answer)
	x.forwardTrailers(answer.Trailer(), announced, options)
	return nil
}

// copyAnswer copies the body. What there is leaves whenever the upstream pauses. An answer that is cut off is cut off here, too,
// behind what came of it.
func (x *forwarding) copyAnswer(answer *upstreamAnswer, body *requestBody, mayReadAhead bool) {
	var from interface {
		Next(pause func()) ([]byte, error)
	} = answer
	var pause func()
	if !x.isComplete(answer) {
		pause = x.reply.flushWritten
		if mayReadAhead && x.readsAhead() {
			ahead := x.readAhead(answer, body)
			defer ahead.Close()
			from = ahead
		}
	}
	for {
		piece, err := from.Next(pause)
		if err == io.EOF {
			return
		}
		if err != nil {
			if x.r.Context().Err() == nil {
				x.record.upstreamError, x.record.reason = true, "the upstream's answer was cut off: "+err.Error()
			}
			x.reply.flush()
			if x.endCall(err) {
				return
			}
			panic(http.ErrAbortHandler)
		}
		if _, err := x.reply.Write(piece); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// earlyHints passes an informational answer on, as far as the reply lets it.
func (x *forwarding) earlyHints(head *http1.Head) {
	own := x.reply.Header()
	final := maps.Clone(own) // what is already said of the answer that follows
	for _, f := range head.Fields {
		if strings.EqualFold(f.Name, "Link") {
			own.Add("Link", f.Value)
		}
	}
	x.reply.WriteHeader(head.Status)
	clear(own) // which net/http does not for them
	maps.Copy(own, final)
}

// isUnsent reports whether a request that failed certainly reached no upstream: there was no connection to the last address that
// was tried, and others are tried after one that may have read a request only where it may be repeated.
func isUnsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || isRefusedAdmission(err)
}

// rewrite writes the outgoing request line from the canonical target, and the
// headers that say on whose behalf the gateway asks.
func (x *forwarding) rewrite(out *outgoing) {
	out.target = x.prefixed(x.forwardPath())
	if x.Target.HasQuery {
		out.target += "?" + x.Target.Query
	}
	out.host = x.authority()
	address := request.AddressText(x.client)
	h := &out.header
	h.Set("X-Request-Id", x.requestID)
	if x.client.IsValid() {
		h.Set("X-Real-Ip", address)
	}
	h.Set("X-Forwarded-For", address)
	h.Set("X-Forwarded-Host", out.host)
	h.Set("X-Forwarded-Proto", "https")
	h.Set("Forwarded", forwarded(address, out.host))
	if x.clientBy != "" && x.client.IsValid() {
		h.Set(x.clientBy, address)
	}
	if certificate := clientCertificate(x.r.TLS); certificate != "" {
		h.Set("X-Forwarded-Client-Cert", certificate)
	}
}

// proxyHeader is the PROXY header that a new connection to the upstream begins with; nil where it has none.
func (x *forwarding) proxyHeader() ([]byte, error) {
	if x.upstream == nil || x.upstream.ProxyProtocol == 0 {
		return nil, nil
	}
	client := netip.AddrPortFrom(x.client, 0)
	if peer, err := netip.ParseAddrPort(x.r.RemoteAddr); err == nil && peer.Addr().Unmap() == x.client {
		client = netip.AddrPortFrom(x.client, peer.Port())
	}
	return proxyHeader(x.upstream.ProxyProtocol, client, x.gen.PublicPort)
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
func (x *forwarding) cleanResponse(h *field.List) {
	x.reply.cors.dropOthers(h)
	h.Del("X-Request-Id")
	h.Del("Alt-Svc") // of another server than this one
	for name, values := range x.carried {
		if len(values) > 0 {
			h.Set(name, values[0])
		}
	}
	if x.Host == nil || len(x.gen.Cookies) == 0 || x.gen.Cookies[0].Issuer != token.OwnIssuer {
		return
	}
	// A backend does not sign people in: our own SSO cookie is the IdP's.
	own := x.gen.Cookies[0].Name
	*h = slices.DeleteFunc(*h, func(f field.Field) bool {
		if !field.Same(f.Name, "Set-Cookie") {
			return false
		}
		// A cookie without a name comes back as its value alone.
		name, _, _ := strings.Cut(strings.TrimLeft(f.Value, " \t="), "=")
		return strings.TrimSpace(name) == own
	})
}

// headBuffer is how long the head of most requests is at most.
const headBuffer = 8 << 10

var headBuffers = sync.Pool{New: func() any { return new([headBuffer]byte) }}

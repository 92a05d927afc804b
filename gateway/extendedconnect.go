package gateway

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"

	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/policies/request"
)

// opensStream reports whether the request is a WebSocket handshake by extended CONNECT (RFC 8441), which the server has made a GET
// with Upgrade of. Any answer of 2xx to it would open the WebSocket.
func (q *received) opensStream() bool {
	return q.r.ProtoMajor >= 2 && request.IsWebSocket(q.r.Header)
}

// checkExtendedConnect refuses a WebSocket over HTTP/2 where there can be none. Over HTTP/1.1 the request would be an ordinary
// one, whose answer says that nothing was upgraded.
func (d *decided) checkExtendedConnect() error {
	if !d.opensStream() || d.forwardAuth != nil { // forward auth: another server opens it
		return nil
	}
	route := d.route()
	if route == nil || !route.WebSocket {
		return refuseNoWebSocket("which the route does not allow (websocket: true)")
	}
	if u := d.gen.upstreams[d.Host.Upstream]; u != nil && u.http2 {
		return refuseNoWebSocket("for an upstream of HTTP/2, which has none")
	}
	return nil
}

func refuseNoWebSocket(reason string) error {
	return &refusal{
		status: http.StatusBadRequest, decision: "deny", kind: "no-websocket", title: "No WebSocket here",
		detail: "There is no WebSocket at this address.", reason: reasonNoWebSocket + reason,
	}
}

// setWebSocketKey puts the key into a handshake that came over HTTP/2, which has none (RFC 8441, section 5), for the upstream to prove by
// that it speaks the protocol.
func (out *outgoing) setWebSocketKey() {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	out.webSocketKey = base64.StdEncoding.EncodeToString(nonce[:])
	out.header.Del("Sec-WebSocket-Accept")
	out.header.Set("Sec-WebSocket-Key", out.webSocketKey)
}

// checkHandshake checks what an upstream answers to a handshake whose key is the gateway's: 101 has to prove that the upstream has
// read it (RFC 6455, section 4.1), and what says success without a switch is none.
func (out *outgoing) checkHandshake(answer *http1.Head) error {
	switch {
	case out.webSocketKey == "" || answer.Status >= 300:
		return nil
	case answer.Status != http.StatusSwitchingProtocols:
		return refuseUpstream(http.StatusBadGateway, "the upstream answers a WebSocket handshake, and does not switch protocols", nil)
	case answer.Fields.Count("Sec-WebSocket-Accept") != 1 || answer.Fields.Get("Sec-WebSocket-Accept") != webSocketAccept(out.webSocketKey):
		return refuseUpstream(http.StatusBadGateway, "the upstream switches protocols without a proof that it speaks WebSocket", errWebSocketAccept)
	}
	h := &answer.Fields
	h.Del("Sec-WebSocket-Accept")
	h.DelFunc(parseConnection(slices.Collect(h.Values("Connection"))).has)
	h.DelFunc(request.IsHopByHop)
	return nil
}

var errWebSocketAccept = errors.New("gateway: Sec-WebSocket-Accept is not that of the key")

// webSocketAccept is what proves that a key was read (RFC 6455, section 4.2.2).
func webSocketAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// switchStatus is the status with which the server has switched protocols.
func (q *received) switchStatus() int {
	if q.r.ProtoMajor >= 2 {
		return http.StatusOK
	}
	return http.StatusSwitchingProtocols
}

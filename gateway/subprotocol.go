package gateway

import (
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// stripSubprotocolToken removes from a WebSocket handshake the subprotocol whose token counts as that of Authorization: Bearer.
func (x *forwarding) stripSubprotocolToken() {
	if !x.authentication.credentials.subprotocol {
		return
	}
	const name = "Sec-Websocket-Protocol"
	if rest := request.WithoutSubprotocolToken(x.r.Header[name]); len(rest) > 0 {
		x.r.Header[name] = rest
	} else {
		delete(x.r.Header, name)
	}
}

// forwardSubprotocolToken passes such a token on, where its issuer's tokens are to be (forward_token), in the field that it stands for.
func (x *forwarding) forwardSubprotocolToken(h *field.List) {
	if x.authentication.credentials.subprotocol && x.authentication.forwardBearer {
		h.Set("Authorization", "Bearer "+x.authentication.credentials.bearer)
	}
}

// setForwardAuthSubprotocols has the proxy that holds such a handshake forward it as the gateway would: a field that is changed has to be said,
// where one that is gone is removed.
func (x *forwarding) setForwardAuthSubprotocols(set *field.List) {
	if !x.authentication.credentials.subprotocol {
		return
	}
	if rest := x.r.Header["Sec-Websocket-Protocol"]; len(rest) > 0 {
		set.Set("Sec-WebSocket-Protocol", strings.Join(rest, ", "))
	}
	x.forwardSubprotocolToken(set)
}

// selectSubprotocol selects the subprotocol that carried such a token, where the backend has selected none: browsers fail a WebSocket none
// of whose subprotocols is selected.
func (x *forwarding) selectSubprotocol(h *field.List) {
	if x.authentication.credentials.subprotocol && !h.Has("Sec-WebSocket-Protocol") {
		h.Add("Sec-WebSocket-Protocol", request.Subprotocol(x.authentication.credentials.bearer))
	}
}

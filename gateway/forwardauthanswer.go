package gateway

import (
	"maps"
	"net/http"
	"slices"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/forwardauth"
	"github.com/viloforge/vilogate/policies/request"
)

// checkForwardAuthHeaders notes the fields of a request that a proxy holds, before they are cleaned, and refuses what the gateway would not
// forward, where the proxy may: what asks for another protocol than the route's WebSockets (h2c would be a tunnel past the policies,
// h2c smuggling), and headers that a backend could take for the gateway's word, or that have it do something else than what was
// decided on, where the proxy can neither be told to remove them nor is sure to overwrite them.
func (x *forwarding) checkForwardAuthHeaders() error {
	switch {
	case x.forwardAuth == nil:
		return nil
	case x.r.Header["Upgrade"] != nil && !x.allowsUpgrade():
		return refuseForwardAuthUpgrade()
	}
	x.forwardAuth.sent = slices.Sorted(maps.Keys(x.r.Header))
	if x.forwardAuth.canRemove() {
		return nil
	}
	if x.authentication.credentials.subprotocol {
		return refuseForwardAuthHeader("a token as a subprotocol of a WebSocket")
	}
	said := x.identityFields()
	for name := range x.r.Header {
		class := request.ClassifyHeader(name)
		switch {
		case x.allowsHeader(name, class):
		case isContractName(name):
			if !said.Has(name) {
				return refuseForwardAuthHeader("an identity header of the client's")
			}
		case class == request.OverrideHeader:
			return refuseForwardAuthHeader("a header that asks for another method (method_override)")
		case isMisleading(name):
			return refuseForwardAuthHeader("a header that asks backends for something else than the request line")
		case class == request.OddHeader && x.route() != nil && controlsHeader(x.route(), name):
			return refuseForwardAuthHeader("a name that servers take for a header of the policy's")
		}
	}
	return nil
}

// answerForwardAuth tells the proxy what to change of the request, in place of forwarding it.
func (x *forwarding) answerForwardAuth() error {
	x.record.decision = "allow"
	a := &allowed{set: x.identityFields()}
	a.set.Set("X-Request-Id", x.requestID)
	if route := x.route(); route != nil {
		for _, f := range route.Headers.Request.Set {
			a.set.Set(f.Name, f.Value)
		}
		a.remove = append(a.remove, route.Headers.Request.Remove...)
	}
	for _, name := range [...]string{"Cookie", "Authorization"} {
		for _, value := range x.r.Header[name] {
			a.set.Add(name, value)
		}
	}
	x.setForwardAuthSubprotocols(&a.set)
	a.remove = append(a.remove, contractNames...)
	for _, name := range x.forwardAuth.sent {
		if !x.isProxyHeader(name) && x.r.Header[name] == nil {
			a.remove = append(a.remove, name)
		}
	}
	slices.Sort(a.remove)
	a.remove = slices.DeleteFunc(slices.Compact(a.remove), a.set.Has)
	x.rotate(http.StatusOK)
	h := x.reply.Header()
	x.reply.setCommonHeaders(h)
	h.Set("Cache-Control", "no-store")
	x.forwardAuth.allowed = a
	x.reply.WriteHeader(http.StatusOK)
	return nil
}

// identityFields are the identity headers of the request.
func (x *forwarding) identityFields() (fields field.List) {
	x.setIdentity(&fields)
	return fields
}

// isProxyHeader reports whether a header is the proxy's to write, or to remove, as the gateway writes its own to backends.
func (x *forwarding) isProxyHeader(name string) bool {
	if forwardauth.IsTarget(name) {
		return false
	}
	switch class := request.ClassifyHeader(name); class {
	case request.ClientIPHeader:
		return true
	case request.ReservedHeader:
		return !isContractName(name) && !isMisleading(name)
	}
	return x.gen.isClientIPHeader(name)
}

// isMisleading reports whether a header of that name has backends do something else than what the request line says, as frameworks
// take it, or wait for a body that is not there.
func isMisleading(name string) bool {
	for _, other := range [...]string{"X-Rewrite-Url", "Proxy", "Sec-Websocket-Key1"} {
		if request.SameHeader(name, other) {
			return true
		}
	}
	return false
}

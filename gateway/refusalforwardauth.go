package gateway

import "net/http"

// decisionForwardAuth is recorded of requests for authorization that are refused for what they are themselves.
const decisionForwardAuth = "forward-auth"

// refuseAuthPeer is for who asks about requests, and is none of those who may.
func refuseAuthPeer() *refusal {
	return &refusal{
		status: http.StatusForbidden, decision: decisionForwardAuth, kind: kindForbidden, title: "Not allowed",
		detail: "Requests are not decided on for you.", reason: reasonForwardAuth + "the address is not in forward_auth.trusted_proxies",
	}
}

// refuseAuthRequest is for a request that does not say what it asks about, or says it in two ways. reason names headers alone.
func refuseAuthRequest(reason string) *refusal {
	return &refusal{
		status: http.StatusBadRequest, decision: decisionMalformed, kind: "forward-auth", title: "Bad request: " + reason,
		detail: "The request cannot be understood in one way only: " + reason + ".", reason: reasonForwardAuth + reason,
	}
}

// refuseForwardAuthOwn is for what the gateway or the login host answers itself.
func refuseForwardAuthOwn() error {
	return &refusal{
		status: http.StatusNotFound, decision: "deny", kind: "not-found", title: "Not found",
		detail: "There is nothing at this address.",
		reason: reasonForwardAuth + "the gateway's own paths and the login host are answered by the gateway itself; have the proxy forward them there",
	}
}

// refuseForwardAuthPreflight is for a CORS preflight, whose answer is a success without any access.
func refuseForwardAuthPreflight() error {
	return &refusal{
		status: http.StatusForbidden, decision: "deny", kind: kindForbidden, title: "Not allowed",
		detail: "This address answers no requests of other sites.",
		reason: reasonForwardAuth + "a CORS preflight, whose answer the proxy cannot pass on; have it forward preflights to the gateway itself",
	}
}

// refuseForwardAuthUpgrade is for an Upgrade that the gateway would not forward.
func refuseForwardAuthUpgrade() error {
	return &refusal{
		status: http.StatusForbidden, decision: "deny", kind: kindForbidden, title: "Not allowed",
		detail: "This address speaks no other protocol.",
		reason: reasonForwardAuth + "an Upgrade that the route does not allow, and that the proxy may forward",
	}
}

// refuseForwardAuthTLS is for a host that asks more of a connection than a proxy tells.
func refuseForwardAuthTLS() error {
	return &refusal{
		status: http.StatusForbidden, decision: "deny", kind: kindForbidden, title: "Not allowed",
		detail: "This address takes connections to the gateway itself alone.",
		reason: reasonForwardAuth + "the host asks for a client certificate or a TLS version (tls), which cannot be known of a connection to another proxy",
	}
}

// refuseForwardAuthHeader is for a header that the gateway would have removed, and that the proxy cannot be told to.
func refuseForwardAuthHeader(why string) error {
	return refuseMalformed(reasonForwardAuth + why + ", which the proxy has not removed")
}

package gateway

import "github.com/viloforge/vilogate/policies"

// prepare readies the request for its upstream: what a stranger could have
// forged goes, and what only the gateway can say is made.
func (x *exchange) prepare() error {
	f := &x.forwarding
	if f.Kind == policies.Routed {
		if f.upstream = x.gen.upstreams[f.Host.Upstream]; f.upstream == nil {
			return refuseUnavailable("the policy's upstream " + f.Host.Upstream + " is not configured")
		}
	}
	if f.upstream != nil {
		if err := f.authenticateConnection(); err != nil {
			return err
		}
	}
	if f.allowsUpgrade() && x.r.ContentLength != 0 {
		return refuseMalformed(reasonHandshakeBody)
	}
	if err := f.checkForwardAuthHeaders(); err != nil {
		return err
	}
	if err := f.cleanHeaders(); err != nil {
		return err
	}
	return f.prepareAssertion(f.start)
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
	x.beginStream()
	defer x.finishStream()
	timeout := x.upstream.Timeout
	switch own := x.route().Timeout; {
	case x.allowsUpgrade() || x.isGRPC():
		timeout = 0 // no response header timeout for streams
	case own > 0:
		timeout = own
	}
	if x.own != nil {
		x.attempts.begin(x.upstream, x.own.connection, x.admissionClient(), x.affinityKey())
		defer x.attempts.end()
		return x.proxy(ownSender{x.own, &x.attempts}, timeout)
	}
	return x.proxyToAny(x.upstream, timeout)
}

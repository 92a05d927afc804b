package gateway

import (
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// findHost finds the policy of the request's host. Host decides, whatever name
// the TLS handshake asked for, as long as the connection's certificate covers
// the host: browsers reuse one connection for every name of a wildcard.
func (x *exchange) findHost() error {
	host := x.target.Host
	if x.g.opts.Covers != nil && x.r.TLS != nil && !x.g.opts.Covers(x.r.TLS.ServerName, string(host)) {
		return refuseMisdirected("the certificate of this connection does not cover the host")
	}
	if x.gen.Admits != nil && !x.gen.Admits(x.r.TLS, string(host)) {
		return refuseMisdirected("the host asks for other TLS settings than this connection has")
	}
	if x.gen.Login.Host != "" && string(host) == x.gen.Login.Host {
		return nil
	}
	if x.host = x.gen.Policies.Lookup(host); x.host == nil {
		return refuseUnknownHost()
	}
	return nil
}

// route finds the route of the canonical path. Spellings that parsers disagree
// about end here unless the route permits them.
func (x *exchange) route() error {
	x.match = x.host.Match(x.target.Path, x.target.Method)
	x.noteOrigin(x.host.CORSOf(x.match))
	if x.match.Odd != 0 {
		x.decision = policies.Decision{Outcome: policies.BadRequest, Place: x.match.Place, Route: x.match.Route}
		x.askShadowsOfSpelling()
		return refuseMalformed("the route does not permit " + oddities(x.match.Odd) + " in the path")
	}
	if x.match.Route != nil && request.EndsAtHop(x.r.Header["Connection"], x.match.Route.Reads.Headers) {
		return refuseMalformed(policies.ReasonEndsAtHop)
	}
	return nil
}

func oddities(o request.Oddity) string {
	switch {
	case o&request.EncodedSlash != 0:
		return "an encoded slash"
	case o&request.DoubleSlash != 0:
		return "a double slash"
	default:
		return "a semicolon"
	}
}

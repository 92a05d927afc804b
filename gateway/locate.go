package gateway

import (
	"crypto/tls"
	"net/http"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies"
)

// locate finds out where the request leads: its canonical host and path, and
// whether it is for one of the gateway's own paths, the login host, a preflight
// or a route. Host decides, whatever name the TLS handshake asked for, as long as
// the connection's certificate covers the host: browsers reuse one connection for
// every name of a wildcard.
func (x *exchange) locate() error {
	if x.gen == nil {
		return refuseUnavailable("no policies are loaded yet")
	}
	l := &x.located
	l.Location = x.gen.Policies.Locate(&x.request)
	if l.Kind != policies.Malformed && l.Kind != policies.MethodRefused {
		if err := l.checkConnection(); err != nil {
			return err
		}
		if !hasContentLength(x.r) {
			return refuseMalformed("a Content-Length that is not the body's")
		}
	}
	x.reply.cors = corsResult{varies: true}
	if l.Kind != policies.CORSPreflight { // which is answered without CORS headers unless it is allowed
		x.reply.cors = crossOriginOf(l.cors(), x.r.Header["Origin"])
	}
	return nil
}

// hasContentLength reports whether a Content-Length, of which there is one at most, is the body's: what serves HTTP/3, or holds a request
// for another proxy, takes one that is no number for 0, and the backend would get an empty body in place of it.
func hasContentLength(r *http.Request) bool {
	for _, line := range r.Header["Content-Length"] {
		if length, ok := field.ParseLength(line); !ok || length != r.ContentLength {
			return false
		}
	}
	return true
}

// redirectFinalDot answers a navigation to a host that was named with a final dot.
func (l *located) redirectFinalDot() error {
	h := l.reply.Header()
	h.Set("Location", l.url())
	l.reply.setCommonHeaders(h)
	l.record.decision, l.record.reason = "redirect", "the host is named with a final dot"
	l.reply.WriteHeader(http.StatusPermanentRedirect)
	return nil
}

// checkConnection refuses what came over a connection that was made for other
// hosts.
func (l *located) checkConnection() error {
	host := string(l.Name)
	if covers := l.g.opts.Covers; covers != nil && l.r.TLS != nil && !covers(l.r.TLS.ServerName, host) {
		return refuseMisdirected("the certificate of this connection does not cover the host (connection coalescing)")
	}
	if l.forwardAuth != nil {
		return l.checkForwardAuthTLS()
	}
	if l.gen.Admits != nil && !l.gen.Admits(l.r.TLS, host) {
		return refuseMisdirected("the host asks for other TLS settings than this connection has")
	}
	return nil
}

// checkForwardAuthTLS refuses hosts that ask more of a connection than every server does: another proxy does not tell what its own have.
func (l *located) checkForwardAuthTLS() error {
	if l.gen.Admits != nil && !l.gen.Admits(&tls.ConnectionState{}, string(l.Name)) {
		return refuseForwardAuthTLS()
	}
	return nil
}

// cors are the CORS rules for the answer; nil where there are none.
func (l *located) cors() *policies.CORS {
	switch {
	case l.Host == nil:
		return nil
	case l.Kind == policies.Routed:
		return l.Host.CORSFor(l.Match)
	}
	return l.Host.CORS
}

// authority is the public authority of the request's host.
func (l *located) authority() string { return string(l.Name) + l.gen.portSuffix }

// url is the public address of what was asked for.
func (l *located) url() string {
	u := l.gen.origin(string(l.Name)) + l.Target.Path.String()
	if l.Target.HasQuery {
		u += "?" + l.Target.Query
	}
	return u
}

// isLoginHost reports whether the request's host is the login host.
func (l *located) isLoginHost() bool {
	return l.gen != nil && l.Name != "" && string(l.Name) == l.gen.Login.Host
}

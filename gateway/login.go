package gateway

import (
	"net"
	"net/http"
	"net/url"

	"github.com/viloforge/vilogate/policies/request"
)

// forwardToLogin hands a request for the login host to our own identity
// provider, in this process or in another. No policy names this host, and no
// identity is asserted to it: it is the identity provider. Forged identity headers
// are removed all the same.
func (x *forwarding) forwardToLogin() error {
	x.record.decision = "login-host"
	if x.gen.Login.Handler == nil {
		x.record.upstream = "login"
		return x.proxyToAny(x.gen.login, loginTimeout)
	}
	x.gen.Login.Handler.ServeHTTP(&x.reply, x.loginRequest())
	return nil
}

// loginRequest is the request as our identity provider in this process is to see
// it: the canonical target, and the client's own address.
func (x *forwarding) loginRequest() *http.Request {
	r := x.r.WithContext(x.r.Context())
	path := x.Target.Path.String()
	decoded, err := url.PathUnescape(path)
	if err != nil {
		decoded = path
	}
	r.URL = &url.URL{Path: decoded, RawPath: path, RawQuery: x.Target.Query}
	r.RequestURI = r.URL.RequestURI()
	r.Host = x.authority()
	r.RemoteAddr = net.JoinHostPort(request.AddressText(x.client), "0")
	r.Header["X-Request-Id"] = []string{x.requestID}
	x.reply.Header()["X-Request-Id"] = []string{x.requestID}
	return r
}

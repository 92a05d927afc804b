package gateway

import (
	"net"
	"net/http"
	"net/url"

	"github.com/viloforge/vilogate/policies/request"
)

// forwardToLogin hands a request for the login host to our own identity
// provider, in this process or in another. No policy speaks of this host, and
// nobody's identity is asserted to it: it is the one who knows. What a stranger
// could have forged is removed all the same.
func (x *exchange) forwardToLogin() error {
	if odd := x.target.Path.Oddities(); odd != 0 {
		return refuseMalformed("the login host does not take " + oddities(odd) + " in the path")
	}
	x.outcome.decision = "login-host"
	x.keepBearer = true
	if err := x.cleanHeaders(); err != nil {
		return err
	}
	if x.gen.Login.Handler == nil {
		x.outcome.upstream = "login"
		return x.proxy(x.gen.Login.Upstream, x.gen.login.transport)
	}
	x.gen.Login.Handler.ServeHTTP(x.w, x.requestForLogin())
	return nil
}

// requestForLogin is the request as our identity provider in this process is to
// see it: the canonical target, and the client's own address.
func (x *exchange) requestForLogin() *http.Request {
	r := x.r.WithContext(x.r.Context())
	path := x.target.Path.String()
	decoded, err := url.PathUnescape(path)
	if err != nil {
		decoded = path
	}
	r.URL = &url.URL{Path: decoded, RawPath: path, RawQuery: x.target.Query}
	r.RequestURI = r.URL.RequestURI()
	r.Host = x.authority()
	r.RemoteAddr = net.JoinHostPort(request.AddressText(x.client), "0")
	r.Header["X-Request-Id"] = []string{x.requestID}
	x.w.Header()["X-Request-Id"] = []string{x.requestID}
	return r
}

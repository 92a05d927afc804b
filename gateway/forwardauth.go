package gateway

import (
	"net/http"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/forwardauth"
	"github.com/viloforge/vilogate/policies/request"
)

// ForwardAuth answers a proxy that asks about a request that it holds (package internal/forwardauth; over gRPC, internal/extauthz): 200
// with what to change of the request, or the refusal. It is decided on as any request of the gateway's own, by the same steps, and
// recorded and counted as one; nothing is ever forwarded from here. Who is in none of Options.ForwardAuth is refused.
func (g *Gateway) ForwardAuth(w http.ResponseWriter, r *http.Request) {
	switch {
	case !request.InNetworks(g.opts.ForwardAuth, request.ParseAddress(r.RemoteAddr)):
		g.refuseAuthRequest(w, r, 0, refuseAuthPeer())
	case isCheck(r):
		g.check(w, r)
	case forwardauth.IsPath(r.RequestURI) || strings.HasPrefix(r.RequestURI, forwardauth.Path+"/"):
		g.forwardAuth(w, r)
	default:
		g.refuseAuthRequest(w, r, 0, refuseAuthRequest("it asks for something else than "+forwardauth.Path))
	}
}

// forwardAuth answers in HTTP.
func (g *Gateway) forwardAuth(w http.ResponseWriter, r *http.Request) {
	about, err := forwardauth.Read(forwardauth.AuthRequest{Method: r.Method, Host: r.Host, Target: r.RequestURI, Header: r.Header, Serves: g.serves})
	if err != nil {
		g.refuseAuthRequest(w, r, about.Dialect, refuseAuthRequest(err.Error()))
		return
	}
	header := make(http.Header, len(r.Header))
	for name, lines := range r.Header {
		if !forwardauth.IsProxyHeader(name) {
			header[name] = lines
		}
	}
	if address := r.Header["X-Real-Ip"]; len(address) == 1 && header["X-Forwarded-For"] == nil && header["Forwarded"] == nil {
		header["X-Forwarded-For"] = address
	}
	if proxies := g.proxies(); proxies != nil && !hasClientAddress(proxies, header) {
		g.refuseAuthRequest(w, r, about.Dialect, refuseAuthRequest("X-Forwarded-For is missing"))
		return
	}
	answer := &authReply{header: http.Header{}}
	h := &forwardAuth{dialect: about.Dialect}
	g.serveRequest(answer, originalRequest(r, about, header), h)
	answer.writeTo(w, h)
}

package gateway

import (
	"log/slog"
	"net/http"

	"github.com/viloforge/vilogate/gateway/internal/forwardauth"
	"github.com/viloforge/vilogate/policies/request"
)

// serves reports whether a host is one that requests are decided for.
func (g *Gateway) serves(host string) bool {
	gen := g.opts.Current()
	return gen != nil && gen.Serves(host)
}

// proxies says who is believed about who asks; nil before the first generation.
func (g *Gateway) proxies() *request.Proxies {
	if gen := g.opts.Current(); gen != nil {
		return &gen.proxies
	}
	return nil
}

// originalRequest is the request that a proxy asks about, as if it had come by itself over HTTP/1.1, without its body, which the proxy has.
func originalRequest(asking *http.Request, about forwardauth.Request, header http.Header) *http.Request {
	r := &http.Request{
		Method: about.Method, Host: about.Authority, RequestURI: about.Target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, ContentLength: asking.ContentLength, RemoteAddr: asking.RemoteAddr,
	}
	return r.WithContext(asking.Context())
}

// refuseAuthRequest refuses a request for authorization for what it is itself; of a flood, a sample is recorded. dialect is 0 where it is
// not known.
func (g *Gateway) refuseAuthRequest(w http.ResponseWriter, r *http.Request, dialect forwardauth.Dialect, why *refusal) {
	answer := &authReply{header: http.Header{}}
	x := &exchange{}
	x.forwardAuth = &forwardAuth{dialect: dialect}
	header := http.Header{}
	if accept := r.Header["Accept"]; accept != nil && dialect != 0 { // else a program asks, and nobody looks at it
		header["Accept"] = accept
	}
	x.receive(g, answer, originalRequest(r, forwardauth.Request{Method: r.Method}, header))
	x.refuse(why)
	answer.writeTo(w, x.forwardAuth)
	record := x.accessRecord(false)
	if g.opts.Observe != nil {
		g.opts.Observe(record)
	}
	if omitted, ok := g.refusedMessages.take(refusedMessages, x.start); ok {
		x.writeRecord(record, slog.Int("omitted", omitted))
	}
}

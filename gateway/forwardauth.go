package gateway

import (
	"bytes"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/forwardauth"
	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/policies/request"
)

// ForwardAuth answers a proxy that asks about a request that it holds (package internal/forwardauth; over gRPC, internal/extauthz): 200
// with what to change of the request, or the refusal. It is decided on as any request of the gateway's own, by the same steps, and
// recorded and counted as one; nothing is ever forwarded from here. Who is in none of Options.ForwardAuth is refused.
func (g *Gateway) ForwardAuth(w http.ResponseWriter, r *http.Request) {
	switch {
	case !request.InNetworks(g.opts.ForwardAuth, request.ParseAddress(r.RemoteAddr)):
		g.refuseAsking(w, r, 0, refuseAskingPeer())
	case isCheck(r):
		g.check(w, r)
	case r.RequestURI == forwardauth.Path || strings.HasPrefix(r.RequestURI, forwardauth.Path+"/"):
		g.forwardAuth(w, r)
	default:
		g.refuseAsking(w, r, 0, refuseAsking("it asks for something else than "+forwardauth.Path))
	}
}

// forwardAuth answers in HTTP.
func (g *Gateway) forwardAuth(w http.ResponseWriter, r *http.Request) {
	about, err := forwardauth.Read(forwardauth.Asking{Method: r.Method, Host: r.Host, Target: r.RequestURI, Header: r.Header, Serves: g.serves})
	if err != nil {
		g.refuseAsking(w, r, about.Dialect, refuseAsking(err.Error()))
		return
	}
	header := make(http.Header, len(r.Header))
	for name, lines := range r.Header {
		if !forwardauth.IsProxys(name) {
			header[name] = lines
		}
	}
	if address := r.Header["X-Real-Ip"]; len(address) == 1 && header["X-Forwarded-For"] == nil && header["Forwarded"] == nil {
		header["X-Forwarded-For"] = address
	}
	if proxies := g.proxies(); proxies != nil && !saysWhoAsks(proxies, header) {
		g.refuseAsking(w, r, about.Dialect, refuseAsking("X-Forwarded-For is missing"))
		return
	}
	answer := &heldReply{header: http.Header{}}
	h := &forwardAuth{dialect: about.Dialect}
	g.serveHeld(answer, heldRequest(r, about, header), h)
	answer.writeTo(w, h)
}

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

// heldRequest is the request that is held, as if it had come by itself over HTTP/1.1, without its body, which the proxy has.
func heldRequest(asking *http.Request, about forwardauth.Held, header http.Header) *http.Request {
	r := &http.Request{
		Method: about.Method, Host: about.Authority, RequestURI: about.Target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: http.NoBody, ContentLength: asking.ContentLength, RemoteAddr: asking.RemoteAddr,
	}
	return r.WithContext(asking.Context())
}

// refuseAsking refuses a request about a request, for what it is itself; of a flood, a sample is recorded. dialect is 0 where it is
// not known.
func (g *Gateway) refuseAsking(w http.ResponseWriter, r *http.Request, dialect forwardauth.Dialect, why *refusal) {
	answer := &heldReply{header: http.Header{}}
	x := &exchange{}
	x.held = &forwardAuth{dialect: dialect}
	x.receive(g, answer, heldRequest(r, forwardauth.Held{Method: r.Method}, http.Header{"Accept": r.Header["Accept"]}))
	x.refuse(why)
	answer.writeTo(w, x.held)
	record := x.accessRecord(false)
	if g.opts.Observe != nil {
		g.opts.Observe(record)
	}
	if omitted, ok := g.refusedMessages.take(refusedMessages, x.start); ok {
		x.writeRecord(record, slog.Int("omitted", omitted))
	}
}

// heldReply is the answer about a request that is held, before it is put as the proxy takes it. It cannot be flushed, so that nobody
// takes a cookie in it for one that has left: proxies may keep it to themselves.
type heldReply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *heldReply) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *heldReply) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *heldReply) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// refused is the status of an answer that is no leave: never a success, unless the proxy passes that on.
func (a *heldReply) refused(h *forwardAuth) int {
	switch {
	case a.status == 0:
		return http.StatusInternalServerError
	case a.status >= 300, a.status > 200 && a.status < 300 && h.answersAny():
		return a.status
	}
	return http.StatusForbidden
}

// The headers of answers to auth_request of nginx, which passes neither other statuses on nor bodies.
const (
	headerStatus  = "X-Vilogate-Status"      // that anybody else would have been answered with
	headerProblem = "X-Vilogate-Problem"     // the problem details, where there are any
	headerCookie  = "X-Vilogate-Set-Cookie-" // and a number from 1 on: the lines of Set-Cookie, one each
)

// writeTo writes the answer as the dialect of the proxy has it.
func (a *heldReply) writeTo(w http.ResponseWriter, h *forwardAuth) {
	out := w.Header()
	for name, lines := range a.header {
		out[name] = lines
	}
	if h.dialect == forwardauth.Original {
		for i, line := range a.header["Set-Cookie"] {
			out[headerCookie+strconv.Itoa(i+1)] = []string{line}
		}
	}
	if h.allowed != nil && a.status == http.StatusOK {
		a.writeAllowed(w, h)
		return
	}
	status := a.refused(h)
	if h.dialect == forwardauth.Original {
		out[headerStatus] = []string{strconv.Itoa(status)}
		if out.Get("Content-Type") == problem.ContentType {
			out[headerProblem] = []string{strings.TrimSpace(a.body.String())}
		}
		if out["Location"] != nil {
			status = http.StatusUnauthorized
		} else if status != http.StatusUnauthorized {
			status = http.StatusForbidden
		}
	}
	out["Content-Length"] = []string{strconv.Itoa(a.body.Len())}
	w.WriteHeader(status)
	_, _ = w.Write(a.body.Bytes()) // the proxy is gone, which the server finds out by itself
}

// writeAllowed writes leave: the fields that the proxy is to set. What is removed is not there, but for Envoy, which overwrites only
// by what is: of that it is given empty ones.
func (a *heldReply) writeAllowed(w http.ResponseWriter, h *forwardAuth) {
	out := w.Header()
	for _, f := range h.allowed.set {
		out.Add(f.Name, f.Value)
	}
	if h.dialect == forwardauth.Prefixed {
		for _, name := range h.allowed.remove {
			out[http.CanonicalHeaderKey(name)] = []string{""}
		}
	}
	out["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusOK)
}

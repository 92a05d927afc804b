package gateway

import (
	"crypto/rand"
	"maps"
	"net/http"
	"slices"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// receive notes when the request began, who asks, and under which id.
func (x *exchange) receive(g *Gateway, w http.ResponseWriter, r *http.Request) {
	x.g, x.gen, x.r, x.start = g, g.opts.Current(), r, g.opts.Now()
	x.client, x.carried = request.ParseAddress(r.RemoteAddr), w.Header()
	if proxies := x.proxies(); proxies != nil && request.InNetworks(proxies.Networks, x.client) {
		x.trusted = true
		if id := r.Header["X-Request-Id"]; len(id) == 1 && request.IsRequestID(id[0]) {
			x.requestID = id[0]
		}
		x.client, x.clientBy = proxies.Client(x.client, r.Header)
	}
	if x.requestID == "" {
		x.requestID = rand.Text()
	}
	x.fields = requestFields(w, r)
	x.reply.responseWriter = responseWriter{ResponseWriter: w}
	x.reply.requestID = x.requestID
	x.join()
}

// requestFields are the fields of a request as they were sent, where the server has them; else by name.
func requestFields(w http.ResponseWriter, r *http.Request) (fields field.List) {
	if server, ok := w.(interface{ RequestFields() field.List }); ok {
		return server.RequestFields()
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			fields.Add(name, value)
		}
	}
	return fields
}

// join has each stage know the one before it, and states the request as policies
// take it.
func (x *exchange) join() {
	x.located.received, x.decided.located, x.forwarding.decided = &x.received, &x.located, &x.decided
	x.request = policies.Request{
		Method: x.r.Method, Host: x.r.Host, Target: x.r.RequestURI, Client: x.client, Header: policies.Fields(x.r.Header), Now: x.start,
		Authenticator: x,
	}
}

// isNavigation reports whether a person is on the way to a page.
func (q *received) isNavigation() bool { return request.IsNavigation(q.r.Method, q.r.Header) }

// isFrameNavigation reports whether a person will look at the answer in a frame.
func (q *received) isFrameNavigation() bool { return request.IsFrameNavigation(q.r.Method, q.r.Header) }

// isFormPost reports whether a form was sent, rather than a fetch: a navigation,
// in a frame too.
func (x *received) isFormPost() bool {
	return x.r.Header.Get("Sec-Fetch-Mode") == "navigate" || request.WantsDocument(x.r.Header)
}

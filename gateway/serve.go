package gateway

import (
	"net/http"
	"runtime/debug"

	"github.com/viloforge/vilogate/policies"
)

// ServeHTTP takes one request all its way.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.serveRequest(w, r, nil) }

// serveRequest is ServeHTTP, and where h is not nil, for a request that another proxy asks about (forward auth).
func (g *Gateway) serveRequest(w http.ResponseWriter, r *http.Request, h *forwardAuth) {
	x := &exchange{}
	x.forwardAuth = h
	x.receive(g, w, r)
	defer func() {
		cause := recover()
		if cause != nil && cause != http.ErrAbortHandler {
			g.opts.Log.Error("panic in a request", "request_id", x.requestID, "panic", cause, "stack", string(debug.Stack()))
		}
		if cause != nil {
			x.abandonKept()
		}
		x.log(cause != nil)
		if cause != nil {
			panic(http.ErrAbortHandler)
		}
	}()
	if err := x.serve(); err != nil {
		x.refuse(err)
	}
	if x.r.Context().Err() == nil {
		x.reply.flushSent() // without a body
	}
}

// serve is the request's way. An error is a refusal that has not been written
// yet; nil means that the request was answered.
func (x *exchange) serve() error {
	if err := x.locate(); err != nil {
		return err
	}
	if err := x.checkForwardAuth(); err != nil {
		return err
	}
	if x.located.RedirectsFinalDot() {
		return x.located.redirectFinalDot()
	}
	if err := x.findKept(false); err != nil {
		return err
	}
	if err := x.decide(); err != nil {
		return err
	}
	if err := x.decided.checkExtendedConnect(); err != nil {
		return err
	}
	switch x.located.Kind {
	case policies.OwnPath:
		return x.decided.serveOwn()
	case policies.CORSPreflight:
		return x.located.answerPreflight()
	}
	if err := x.decided.limit(); err != nil {
		return err
	}
	if err := x.prepare(); err != nil {
		return err
	}
	if err := x.findKept(true); err != nil {
		return err
	}
	x.decided.stripKeptCookies()
	if err := x.sendKept(); err != nil {
		return err
	}
	if err := x.writeAudit(); err != nil {
		return x.putBackKept(err)
	}
	if x.forwardAuth != nil {
		return x.forwarding.answerForwardAuth()
	}
	if err := x.forwarding.forward(); err != nil {
		return x.putBackKept(err)
	}
	return nil
}

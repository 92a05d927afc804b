package gateway

import (
	"net/http"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/internal/streams"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
)

// beginStream has the request known as one that may have to be ended. finishStream is to be called.
func (x *forwarding) beginStream() { x.g.streams.Begin(&x.stream.Stream, x, x.start) }

// finishStream notes what ended the request, if it did not end by itself. An answer that was cut off is no whole one to
// net/http either.
func (x *forwarding) finishStream() {
	x.g.streams.Finish(&x.stream.Stream)
	cause := x.stream.finish()
	if cause == 0 {
		return
	}
	end := streamEnds[cause]
	x.record.streamEnd, x.record.reason, x.record.upstreamError = cause.String(), end.reason, false
	if x.reply.status == 0 {
		x.record.status = end.status
	}
	x.auditStreamEnd(cause)
	if x.stream.opened == nil && !x.callEnded {
		panic(http.ErrAbortHandler)
	}
}

// streamEnds are, by cause, the reason for the log, what clients of gRPC are told, and the status to record where no answer had begun.
var streamEnds = [...]struct {
	status          int
	reason, message string
}{
	streams.Revoked:     {http.StatusUnauthorized, "ended: signed out", "Signed out"},
	streams.SessionOver: {http.StatusUnauthorized, "ended: the session is over, or could not be asked about for 15 minutes", "The session is over"},
	streams.Policy:      {http.StatusForbidden, "ended: the policies in force would not admit it", "Not allowed any more"},
	streams.Drain:       {http.StatusServiceUnavailable, "ended: the gateway shuts down", "Shutting down"},
}

// auditStreamEnd records that something was ended which a record of the audit log says was allowed.
func (x *forwarding) auditStreamEnd(cause streams.Cause) {
	if x.g.opts.Audit == nil || cause == streams.Drain {
		return
	}
	e := &audit.Event{
		Version: audit.Version, Time: x.g.opts.Now().UTC(), Event: audit.EventStreamEnd, Result: audit.Success, Reason: cause.String(),
		Client: x.client, RequestID: x.requestID,
	}
	if c := x.authentication.claims; c != nil {
		e.User, e.Subject, e.Session = c.User(), c.Subject(), c.Session()
	}
	x.g.opts.Audit.PutEventBestEffort(e)
}

// Owner implements streams.Holder: who was admitted, where that depended on who asked.
func (x *forwarding) Owner() streams.Owner {
	c, route := x.authentication.claims, x.route()
	if c == nil || x.answer.Identity == nil || route.Public() || route.KeepStreams {
		return streams.Owner{}
	}
	return streams.Owner{
		Issuer: c.IssuerName(), Token: c.ID(), Session: c.Session(), Subject: c.Subject(),
		IssuedAt: c.IssuedAt(), Expires: c.Expires(), Own: c.IssuerName() == token.OwnIssuer,
	}
}

// Admitted implements streams.Holder: the request as it was made, by whoever made it, is judged by the policies in
// force, now.
func (x *forwarding) Admitted() bool {
	gen := x.g.opts.Current()
	if gen == x.gen || x.route().KeepStreams {
		return true
	}
	answer, err := gen.Policies.Decide(&policies.Request{
		Method: x.r.Method, Host: x.r.Host, Target: x.r.RequestURI, Client: x.client, Header: policies.Fields(x.r.Header),
		Now: x.g.opts.Now(), Identity: x.answer.Identity,
	})
	switch {
	case err != nil || answer.Kind != policies.Routed || answer.Outcome != policies.Allow:
		return false
	case x.stream.isWebSocket() && !answer.Route.WebSocket:
		return false
	}
	return gen.Admits == nil || gen.Admits(x.r.TLS, string(x.Name))
}

// End implements streams.Holder.
func (x *forwarding) End(cause streams.Cause) { x.stream.end(cause, &x.reply, x.r) }

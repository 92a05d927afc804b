package gateway

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

// refusedMessages are how many access records of messages that cannot be served there are at most: what scanners send is counted
// always, and written down as far as somebody could read it.
var refusedMessages = gcra.Rate{Events: 100, Per: time.Minute}

// Refuse answers a message that cannot be served as a request, with the status and for the reason that package edge gives. It is
// answered, counted and recorded as any other; of a flood of them, a sample is recorded.
func (g *Gateway) Refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	x := &exchange{}
	x.receive(g, w, r)
	x.refuse(refuseMessage(status, reason))
	record := x.accessRecord(false)
	if g.opts.Observe != nil {
		g.opts.Observe(record)
	}
	if omitted, ok := g.refusedMessages.take(refusedMessages, x.start); ok {
		x.writeRecord(record, slog.Int("omitted", omitted))
	}
}

// refuseMessage is for what the grammar of HTTP does not allow, or the limits of a connection, and for plain HTTP of a host that is
// not served.
func refuseMessage(status int, reason string) error {
	if status == http.StatusNotFound {
		return refuseUnknownHost()
	}
	r := refuseMalformed(reason).(*refusal)
	r.status = status
	switch status {
	case http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestURITooLong:
		r.kind, r.title, r.detail = "header-too-large", "Header too large", "The address or the header is longer than is taken here. Fewer or shorter cookies may help."
	case http.StatusRequestTimeout:
		r.kind, r.title, r.detail = "timeout", "Request timeout", "The request did not arrive in time."
	case http.StatusHTTPVersionNotSupported:
		r.kind, r.title, r.detail = "version", "HTTP version not supported", "HTTP/1.1 and HTTP/2 are spoken here."
	case http.StatusExpectationFailed:
		r.kind, r.title, r.detail = "expectation", "Expectation failed", "No other expectation than 100-continue is met here."
	}
	return r
}

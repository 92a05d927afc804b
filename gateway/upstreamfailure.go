package gateway

import (
	"context"
	"errors"
	"net/http"
	"os"
)

// upstreamFailure maps an error of the round trip: client closed request (499), a
// failed read of the request body, or the upstream's (502, 504).
func (x *forwarding) upstreamFailure(err error, body *requestBody) error {
	cause := body.readErr()
	stalled := errors.Is(cause, os.ErrDeadlineExceeded)
	// net/http's server cancels the context, too, when a read of the body fails.
	if !stalled && !body.wasInterrupted() && (x.r.Context().Err() != nil || errors.Is(err, context.Canceled)) {
		x.record.status, x.record.reason = statusClientClosedRequest, "client closed request"
		// Returning would have net/http say 200 to whoever still listens.
		panic(http.ErrAbortHandler)
	}
	if cause != nil {
		return refuseBodyRead(cause)
	}
	if isRefusedAdmission(err) {
		return x.refuseAdmission(err)
	}
	x.record.upstreamError = true
	if isTimeout(err) {
		return refuseUpstream(http.StatusGatewayTimeout, "upstream timeout", err)
	}
	return refuseUpstream(http.StatusBadGateway, "upstream request failed", err)
}

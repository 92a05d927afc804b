package http2

import (
	"log/slog"
	"net/http"
)

// Options are what a Server is made of.
type Options struct {
	// Handler answers the requests. The handshake of a WebSocket (RFC 8441) is a GET with Upgrade to it: SwitchProtocols of the
	// writer opens it; an answer of 2xx, which would, is cut off.
	Handler http.Handler
	// Malformed answers a request that cannot be served as it was sent, with this status, 400, 431 or 501. r has what is known of
	// it: Method, Host and RequestURI may be empty. Optional: the status with a short text.
	Malformed func(w http.ResponseWriter, r *http.Request, status int, reason string)
	Limits    Limits
	// Log is told of connections' ends at debug level, and of handlers that panic. Optional.
	Log *slog.Logger
}

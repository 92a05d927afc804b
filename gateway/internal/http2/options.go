package http2

import (
	"log/slog"
	"net/http"
)

// Options are what a Server is made of.
type Options struct {
	// Handler answers the requests.
	Handler http.Handler
	// Malformed answers a request that cannot be served as it was sent, with this status, 400 or 431. r has what is known of
	// it: Method, Host and RequestURI may be empty. Optional: the status with a short text.
	Malformed func(w http.ResponseWriter, r *http.Request, status int, reason string)
	Limits    Limits
	// Log is told of connections' ends at debug level, and of handlers that panic. Optional.
	Log *slog.Logger
}

package server

import (
	"net/http"
	"runtime/debug"
)

// logPanic logs the panic of a handler, unless that is its way to cut an answer off.
func (s *Server) logPanic(cause any, client string) {
	if cause != http.ErrAbortHandler {
		s.opts.Log.Error("panic in a handler", "client", client, "panic", cause, "stack", string(debug.Stack()))
	}
}

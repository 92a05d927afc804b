package gateway

import (
	"bytes"
	"net/http"
)

// authReply is the answer to a request for authorization (forward auth), before it is put as the proxy takes it. It cannot be flushed, so that no
// cookie in it counts as delivered: proxies may keep it to themselves.
type authReply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *authReply) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *authReply) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *authReply) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// refusedStatus is the status of an answer that is no leave: never a success, unless the proxy passes that on.
func (a *authReply) refusedStatus(h *forwardAuth) int {
	switch {
	case a.status == 0:
		return http.StatusInternalServerError
	case a.status >= 300, a.status > 200 && a.status < 300 && h.answersAny():
		return a.status
	}
	return http.StatusForbidden
}

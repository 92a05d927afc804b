package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/forwardauth"
	"github.com/viloforge/vilogate/gateway/problem"
)

// The headers of answers to auth_request of nginx, which passes neither other statuses on nor bodies.
const (
	headerStatus  = "X-Vilogate-Status"      // that anybody else would have been answered with
	headerProblem = "X-Vilogate-Problem"     // the problem details, where there are any
	headerCookie  = "X-Vilogate-Set-Cookie-" // and a number from 1 on: the lines of Set-Cookie, one each
)

// writeTo writes the answer as the dialect of the proxy has it.
func (a *authReply) writeTo(w http.ResponseWriter, h *forwardAuth) {
	if h.dialect == forwardauth.Envoy {
		a.writeCheck(w, h)
		return
	}
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
	status := a.refusedStatus(h)
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
func (a *authReply) writeAllowed(w http.ResponseWriter, h *forwardAuth) {
	out := w.Header()
	for i, f := range h.allowed.set {
		if !h.allowed.set[:i].Has(f.Name) {
			out.Del(f.Name)
		}
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

// Package upstreams holds the demo backends: what stands behind the gateway in
// `vilogate dev`, and one at a time as `vilogate backend`. It stands on floor 2
// and knows nothing of gateways: each backend is an http.Handler that learns who
// is asking from the kit in upstreams/identity, as any backend would.
//
//   - [Website] is a page for people: it says who they are, and its JavaScript
//     fetches invoices and items from the two APIs.
//   - [Billing] and [Inventory] are those APIs.
//   - [Echo] answers with what it received, for whoever wants to see what the
//     gateway forwards.
//
// The backends do not decide who may do what: that is the policies' part, and
// the first three serve nothing but /healthz, the icon, /about and the page's own files
// without a verified assertion, so that a mistake there opens nothing.
//
// All of it is demonstration. What the backends keep, they keep in memory.
package upstreams

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/upstreams/identity"
)

// whoami is who a backend believes to be talking to, and the headers that it received.
type whoami struct {
	User    string              `json:"user"`
	ID      string              `json:"id"`
	Email   string              `json:"email"`
	Name    string              `json:"name"`
	Roles   []string            `json:"roles"`
	Session string              `json:"session"`
	Headers map[string][]string `json:"headers"`
}

func serveWhoami(w http.ResponseWriter, r *http.Request) {
	who, _ := identity.From(r.Context())
	writeJSON(w, http.StatusOK, whoami{
		User: who.User, ID: who.ID, Email: who.Email, Name: who.Name, Roles: nonNil(who.Roles), Session: who.Session,
		Headers: lowerCase(r.Header),
	})
}

func serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// lowerCase is the header with its names in lower case, never nil.
func lowerCase(h http.Header) map[string][]string {
	lower := make(map[string][]string, len(h))
	for name, values := range h {
		lower[strings.ToLower(name)] = values
	}
	return lower
}

// nonNil is never nil, so that it is [] in JSON and not null.
func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// writeProblem answers with a problem detail. The title alone says what is wrong.
func writeProblem(w http.ResponseWriter, r *http.Request, status int, title string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	d := problem.Details{Type: problem.Blank, Title: title, Status: status, RequestID: r.Header.Get("X-Request-Id")}
	if err := d.Write(w); err != nil {
		return // the client has disconnected
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		return // the client has disconnected
	}
}

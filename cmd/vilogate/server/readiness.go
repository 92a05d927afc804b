package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
)

// readiness says whether the process can do its work. Once it was ready it stays so until it drains: trouble that comes
// later shows in the body and in metrics, and must not take a whole fleet out at once.
type readiness struct {
	checks   []healthCheck
	warnings []healthCheck // warnings: reported, but never a reason not to be ready
	wasReady atomic.Bool
	draining atomic.Bool
}

// healthCheck is a readiness check, or a warning beside readiness.
type healthCheck struct {
	name  string
	check func() error // nil when it passes
}

// withReason is what a check fails with, and why where that is known.
func withReason(what string, err error) error {
	if err == nil {
		return errors.New(what)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// missing returns the failing readiness checks, by name.
func (r *readiness) missing() map[string]string {
	missing := map[string]string{}
	for _, n := range r.checks {
		if err := n.check(); err != nil {
			missing[n.name] = err.Error()
		}
	}
	if len(missing) == 0 {
		r.wasReady.Store(true)
	}
	return missing
}

// trouble returns the failing warnings, by name: requests do not suffer yet.
func (r *readiness) trouble() map[string]string {
	trouble := map[string]string{}
	for _, w := range r.warnings {
		if err := w.check(); err != nil {
			trouble[w.name] = err.Error()
		}
	}
	return trouble
}

// readyResponse is the body of /readyz.
type readyResponse struct {
	Status  string            `json:"status"` // ready, starting or draining
	Missing map[string]string `json:"missing"`
	Trouble map[string]string `json:"trouble,omitempty"`
}

func (r *readiness) response() readyResponse {
	answer := readyResponse{"ready", r.missing(), r.trouble()}
	switch {
	case r.draining.Load():
		answer.Status = "draining"
	case !r.wasReady.Load():
		answer.Status = "starting"
	}
	return answer
}

func (r *readiness) serve(w http.ResponseWriter, _ *http.Request) {
	answer, status := r.response(), http.StatusOK
	if answer.Status != "ready" {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, answer)
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		return // the client has disconnected
	}
}

// Package problem is how everybody here tells a program that its request was refused: problem details (RFC 9457). The
// gateway, the identity provider, the demo backends and the kit for Go backends write them, so that a caller reads one form
// whoever of them answers.
//
// It stands on floor 0 and imports the standard library alone: backends that are not ours come to it through
// upstreams/identity.
package problem

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// ContentType is the media type of problem details.
const ContentType = "application/problem+json"

// types is where the types of our problems are named.
const types = "https://vilogate.dev/problems/"

// Type is the type of one of our problems, by the last part of its name: "csrf".
func Type(kind string) string { return types + kind }

// Blank is the type of a problem of which its status and title say everything.
const Blank = "about:blank"

// Details say what went wrong. They are for programs: what people are to read stands on a page.
type Details struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	RequestID string `json:"request_id,omitempty"`
	LoginURL  string `json:"login_url,omitempty"`  // where somebody signs in who is to come back
	LogoutURL string `json:"logout_url,omitempty"` // where somebody signs out whom this host does not know
}

// Write answers with the details and their status. Other headers are the caller's, and set before. An error means that the
// client did not take the answer.
func (d Details) Write(w http.ResponseWriter) error {
	body, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("problem: encoding the details: %w", err)
	}
	body = append(body, '\n')
	h := w.Header()
	h.Set("Content-Type", ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(d.Status)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("problem: writing the details: %w", err)
	}
	return nil
}

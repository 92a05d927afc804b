package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/policies/request"
)

// refuse writes the refusal, as a page to a person and as problem+json (RFC
// 9457) to a program. Any other error is a fault of ours.
func (x *exchange) refuse(err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{
			status: http.StatusInternalServerError, decision: "error", kind: "internal", title: "Internal error",
			detail: "Something went wrong here, and it was written down.", reason: "internal error", cause: err,
		}
	}
	x.forwarding.recordRefusedHeaders()
	r = x.keepPost(x.guardLoginLoop(r))
	x.record.decision, x.record.reason = r.decision, r.Error()
	if x.reply.status != 0 {
		return // too late: the response has begun
	}
	h := x.reply.Header()
	x.reply.setCommonHeaders(h)
	h.Set("Cache-Control", "no-store")
	if r.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(r.retryAfter))
	}
	if r.status == http.StatusMethodNotAllowed {
		h.Set("Allow", strings.Join(r.allow, ", "))
	}
	if x.forwarding.isGRPC() {
		if r.status == http.StatusUnauthorized {
			h.Set("WWW-Authenticate", x.challenge(r))
		}
		x.forwarding.refuseCall(r)
		return
	}
	loginURL := ""
	if r.offerLogin && x.gen != nil {
		loginURL = x.loginURL()
	}
	if loginURL != "" {
		loginURL += r.stepUpQuery
	}
	if r.redirectToLogin && loginURL != "" && x.isNavigation() {
		h.Set("Location", loginURL+x.seenCookie(r))
		x.reply.WriteHeader(http.StatusFound)
		return
	}
	logoutURL := ""
	if r.logout {
		if logoutURL = x.gen.logoutURL(); logoutURL != "" && x.isFormPost() {
			h.Set("Location", logoutURL)
			x.reply.WriteHeader(http.StatusSeeOther)
			return
		}
	}
	if r.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", x.challenge(r))
	}
	switch {
	case request.WantsDocument(x.r.Header):
		x.writeRefusal(r, loginURL)
		return
	case r.redirectToLogin && loginURL != "" && x.isFrameNavigation():
		x.writeFramePage(r, loginURL)
		return
	}
	x.writeProblem(problem.Details{
		Type: problem.Type(r.kind), Title: r.title, Status: r.status, LoginURL: loginURL, LogoutURL: logoutURL,
	})
}

// challenge is the WWW-Authenticate value (RFC 6750, section 3). Clients of registries take the realm for a URL, and some of them
// send no token of theirs where it is none.
func (x *exchange) challenge(r *refusal) string {
	challenge := `Bearer realm="` + x.gen.origin(string(x.located.Name)) + `"`
	if r.challenge != "" {
		challenge += ", " + r.challenge
	}
	return challenge
}

// writeProblem answers with problem details. What the client does not take is
// the client's loss.
func (x *received) writeProblem(d problem.Details) {
	d.RequestID = x.requestID
	x.reply.Header().Set("X-Content-Type-Options", "nosniff")
	if err := d.Write(&x.reply); err != nil {
		return
	}
}

// writeJSON answers with v, which always encodes. Write errors are ignored: the
// client is gone.
func (x *received) writeJSON(status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		x.g.opts.Log.Error("encoding a response failed", "request_id", x.requestID, "error", err)
		status, body = http.StatusInternalServerError, []byte("{}")
	}
	h := x.reply.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	x.reply.WriteHeader(status)
	x.reply.write(append(body, '\n'))
}

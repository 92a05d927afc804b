package idp

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/idp/internal/pages"
	"github.com/viloforge/vilogate/idp/internal/password"
	"github.com/viloforge/vilogate/policies/request"
)

// refusal is an error with its response to the client. What the client reads and what the log says are kept apart.
type refusal struct {
	status int
	kind   string // the last part of the problem's type
	title  string
	detail string // for a person
	allow  []string
	retry  time.Duration
	maxAge time.Duration // of a login that would do (RFC 9470); 0 for any
	login  bool          // somebody who signs in may have more luck
	cause  error         // for the log
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return r.kind + ": " + r.cause.Error()
	}
	return r.kind
}

func (r *refusal) Unwrap() error { return r.cause }

func refuseMalformed(cause error) error {
	return &refusal{
		status: http.StatusBadRequest, kind: "malformed", title: "Bad request",
		detail: "The form cannot be understood in one way only.", cause: cause,
	}
}

// refusalOf says what the client is to hear of an error.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	switch {
	case errors.Is(err, errStale), errors.Is(err, errUnrecorded):
		return &refusal{
			status: http.StatusServiceUnavailable, kind: "unavailable", title: "Please try again shortly",
			detail: "The list of sign-outs cannot be reached at the moment. Nothing was changed.", retry: 5 * time.Second, cause: err,
		}
	case errors.Is(err, errNotAudited):
		return &refusal{
			status: http.StatusServiceUnavailable, kind: "unavailable", title: "Please try again shortly",
			detail: "Nobody can sign in at the moment, because it could not be recorded. Nothing was changed.", retry: 5 * time.Second, cause: err,
		}
	case errors.Is(err, password.ErrBusy):
		return &refusal{
			status: http.StatusTooManyRequests, kind: "busy", title: "Please try again shortly",
			detail: "Too many people are signing in at this moment.", retry: 2 * time.Second, cause: err,
		}
	default:
		return &refusal{
			status: http.StatusServiceUnavailable, kind: "unavailable", title: "Please try again shortly",
			detail: "Something went wrong here, and it was written down.", retry: 5 * time.Second, cause: err,
		}
	}
}

// refuse says why, as a page to a person and as problem+json to a program.
func (x *exchange) refuse(err error) {
	r := refusalOf(err)
	if r.status >= http.StatusInternalServerError {
		level := slog.LevelError
		if x.r.Context().Err() != nil {
			level = slog.LevelInfo // nobody waits for the answer any more
		}
		x.logAt(level, "request failed", "status", r.status, "error", err)
	}
	x.setRefusalHeaders(r)
	if !request.WantsDocument(x.r.Header) {
		d := problem.Details{Type: problem.Type(r.kind), Title: r.title, Status: r.status, RequestID: x.requestID}
		if r.login {
			d.LoginURL = x.loginURL(accountPath)
			if r.maxAge > 0 {
				d.LoginURL = x.recentLoginURL(r.maxAge)
			}
		}
		x.status = d.Status
		if err := d.Write(x.w); err != nil {
			x.log("the answer was not taken", "error", err)
		}
		return
	}
	if r.login && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead) {
		x.redirect(http.StatusFound, x.loginURL(x.back().accountURL()))
		return
	}
	x.page(r.status, pages.Message{Title: r.title, Detail: r.detail, SignIn: r.login, RequestID: x.requestID})
}

// setRefusalHeaders sets the headers that belong to a refusal, whatever its body.
func (x *exchange) setRefusalHeaders(r *refusal) {
	h := x.w.Header()
	if r.retry > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((r.retry+time.Second-1)/time.Second), 10))
	}
	if len(r.allow) > 0 {
		h.Set("Allow", strings.Join(r.allow, ", "))
	}
	if r.status == http.StatusUnauthorized {
		challenge := `Bearer realm="` + x.idp.o.LoginHost + `"`
		if r.maxAge > 0 {
			challenge += `, error="insufficient_user_authentication", error_description="a more recent login is needed", max_age="` + strconv.Itoa(int(r.maxAge/time.Second)) + `"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
}

package idp

import (
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/idp/pages"
	"github.com/viloforge/vilogate/idp/password"
	"github.com/viloforge/vilogate/policies/request"
)

// step is one step of the flow. It answers, or returns why it did not.
type step func(*exchange) error

// routes lists the steps. Only the router's Lookup is used, which neither redirects nor rewrites anything.
func (p *IDP) routes() *httprouter.Router {
	router := httprouter.New()
	for _, route := range []struct {
		method, path string
		step         step
	}{
		{http.MethodGet, "/", (*exchange).showLogin},
		{http.MethodPost, "/", (*exchange).login},
		{http.MethodGet, "/login", (*exchange).showLogin},
		{http.MethodPost, "/login", (*exchange).login},
		{http.MethodGet, "/logout", (*exchange).showLogout},
		{http.MethodPost, "/logout", (*exchange).logout},
		{http.MethodGet, "/account", (*exchange).showAccount},
		{http.MethodPost, "/account", (*exchange).changeAccount},
		{http.MethodGet, "/.well-known/openid-configuration", (*exchange).serveMetadata},
		{http.MethodGet, "/.well-known/jwks.json", (*exchange).serveJWKS},
	} {
		router.Handle(route.method, route.path, func(w http.ResponseWriter, r *http.Request, _ httprouter.Params) {
			p.answer(w, r, route.step)
		})
	}
	return router
}

// serve finds the step.
func (p *IDP) serve(w http.ResponseWriter, r *http.Request) {
	if host, _, _ := strings.Cut(r.Host, ":"); host != p.o.LoginHost {
		p.answer(w, r, func(*exchange) error {
			return &refusal{
				status: http.StatusMisdirectedRequest, kind: "misdirected", title: "Misdirected request",
				detail: "This is not the address of the login pages.",
			}
		})
		return
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if handle, _, _ := p.router.Lookup(method, r.URL.Path); handle != nil {
		handle(w, r, nil)
		return
	}
	p.answer(w, r, func(*exchange) error { return p.refusePath(r.URL.Path) })
}

func (p *IDP) refusePath(path string) error {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		if handle, _, _ := p.router.Lookup(method, path); handle != nil {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		return &refusal{
			status: http.StatusNotFound, kind: "not-found", title: "Not found",
			detail: "There is nothing at this address.",
		}
	}
	if allow[0] == http.MethodGet {
		allow = append([]string{http.MethodHead}, allow...)
	}
	return &refusal{
		status: http.StatusMethodNotAllowed, kind: "method-not-allowed", title: "Method not allowed",
		detail: "This address does not take that method.", allow: allow,
	}
}

// answer has the step answer, or says why it did not.
func (p *IDP) answer(w http.ResponseWriter, r *http.Request, step step) {
	x := p.newExchange(w, r)
	h := w.Header()
	h.Set("X-Request-Id", x.requestID)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	defer x.record(p.o.Now())
	if err := step(x); err != nil {
		x.refuse(err)
	}
}

// record writes one line a request where no gateway in this process does.
func (x *exchange) record(began time.Time) {
	if len(x.idp.o.TrustedProxies) > 0 {
		ms := float64(x.idp.o.Now().Sub(began).Microseconds()) / 1000
		x.log("request", "method", x.r.Method, "host", x.r.Host, "path", x.r.URL.Path, "status", x.status, "duration_ms", ms)
	}
}

// refusal is an error with its response to the client. What the client reads and what the log says are kept apart.
type refusal struct {
	status int
	kind   string // the last part of the problem's type
	title  string
	detail string // for a person
	allow  []string
	retry  time.Duration
	login  bool  // somebody who signs in may have more luck
	cause  error // for the log
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

// errStale means that the revocation list is too old to tell who is signed in.
var errStale = errors.New("the revocation list is stale")

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
			d.LoginURL = x.loginURL()
		}
		x.status = d.Status
		if err := d.Write(x.w); err != nil {
			x.log("the answer was not taken", "error", err)
		}
		return
	}
	if r.login && (x.r.Method == http.MethodGet || x.r.Method == http.MethodHead) {
		x.redirect(http.StatusFound, x.loginURL())
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
		h.Set("WWW-Authenticate", `Bearer realm="`+x.idp.o.LoginHost+`"`)
	}
}

package idp

import (
	"net/http"
	"strings"
	"time"

	"github.com/julienschmidt/httprouter"
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
		{http.MethodPost, "/remove-cookies", (*exchange).removeCookies},
		{http.MethodGet, "/account", (*exchange).showAccount},
		{http.MethodPost, "/account", (*exchange).changeAccount},
		{http.MethodGet, "/.vilogate/sessions", (*exchange).listSessions},
		{http.MethodPost, "/.vilogate/sessions", (*exchange).changeSessions},
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
	defer func() {
		if x.leave != nil {
			x.leave()
		}
	}()
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

// ServeHTTP serves the login host.
func (p *IDP) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.serve(w, r) }

package gateway

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/policies"
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
	r = x.guardLoginLoop(r)
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
	loginURL := ""
	if r.offerLogin && x.gen != nil {
		loginURL = x.gen.loginURL(x.returnURL())
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
	if request.WantsDocument(x.r.Header) {
		x.writeRefusal(r, loginURL)
		return
	}
	x.writeProblem(problem.Details{
		Type: problem.Type(r.kind), Title: r.title, Status: r.status, LoginURL: loginURL, LogoutURL: logoutURL,
	})
}

// returnURL is where the login redirects back to: the requested URL of a
// navigation, else the page that sent the request.
func (x *exchange) returnURL() string {
	if x.isNavigation() {
		return x.located.url()
	}
	home := x.gen.origin(string(x.located.Name)) + "/"
	if x.reply.cors.origin != "" {
		home = x.reply.cors.origin + "/" // the page that asks
	}
	if referer := x.r.Header["Referer"]; len(referer) == 1 && strings.HasPrefix(referer[0], home) {
		return referer[0]
	}
	return home
}

// challenge is the WWW-Authenticate value (RFC 6750, section 3).
func (x *exchange) challenge(r *refusal) string {
	challenge := `Bearer realm="` + string(x.located.Name) + `"`
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

//go:embed pages/refusal.html
var refusalHTML string

//go:embed pages/refusal.css
var refusalCSS string

var (
	refusalPage = template.Must(template.New("refusal").Parse(refusalHTML))
	refusalCSP  = contentSecurityPolicy(refusalCSS, "'none'")
	formCSP     = contentSecurityPolicy(refusalCSS, "'self'")
)

// contentSecurityPolicy allows that one inline style, by its hash, forms to go there, and nothing else.
func contentSecurityPolicy(css, formAction string) string {
	sum := sha256.Sum256([]byte(css))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action " + formAction + "; frame-ancestors 'none'"
}

// page is what a person is shown.
type page struct {
	Title, Detail, RequestID string
	Status                   int    // 0: not shown
	LoginURL                 string // of the button that leads there; "" for none
	RemoveCookies            string // where the form goes that removes the browser's cookies; "" for none
	CSS                      template.CSS
}

func (x *received) writeRefusal(r *refusal, loginURL string) {
	p := page{Title: r.title, Detail: r.detail, Status: r.status, LoginURL: loginURL}
	if r.removeCookies {
		p.RemoveCookies = policies.PathRemoveCookies
	}
	x.writePage(r.status, p)
}

func (x *received) writePage(status int, p page) {
	h := x.reply.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", refusalCSP)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if p.RemoveCookies != "" {
		h.Set("Content-Security-Policy", formCSP)
		h.Set("Referrer-Policy", "same-origin") // without a referrer a form's Origin is null
	}
	x.reply.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	p.RequestID, p.CSS = x.requestID, template.CSS(refusalCSS)
	if err := refusalPage.Execute(&x.reply, p); err != nil {
		x.record.reason += "; writing the page failed: " + err.Error()
	}
}

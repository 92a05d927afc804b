package idp

import (
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/idp/internal/pages"
	"github.com/viloforge/vilogate/policies/request"
)

// exchange is one request, and what every step wants to know of it. It belongs to the goroutine that serves the request.
type exchange struct {
	idp       *IDP
	w         http.ResponseWriter
	r         *http.Request
	redirects *RedirectPolicy
	client    netip.Addr // who asks, as far as trusted proxies can be believed; zero where nobody knows
	requestID string
	status    int         // of the answer, once it has begun
	failed    failedLogin // of the last attempt at a password
	leave     func()      // gives back the place of an attempt at a password; nil without one
}

// failedLogin is what is remembered of a login that failed: of a user whom there is, and never what was typed for a name, which
// may be a password in the wrong field.
type failedLogin struct {
	account account // zero where there is no such user, or nobody looked
	reason  string
}

func (p *IDP) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{idp: p, w: w, r: r, redirects: p.o.RedirectPolicy(), client: request.ParseAddress(r.RemoteAddr)}
	// Without trusted proxies the gateway is in this process, and has made these headers itself.
	fromTrustedProxy := len(p.o.TrustedProxies) == 0 || request.InNetworks(p.o.TrustedProxies, x.client)
	proxies := request.Proxies{Networks: p.o.TrustedProxies, Headers: p.o.ClientIPHeaders, Forwarded: p.o.UseForwarded}
	x.client, _ = proxies.Client(x.client, r.Header)
	if ids := r.Header["X-Request-Id"]; fromTrustedProxy && len(ids) == 1 && request.IsRequestID(ids[0]) {
		x.requestID = ids[0]
	} else {
		x.requestID = strings.ToLower(rand.Text())
	}
	return x
}

// log writes what happened, with who asked.
func (x *exchange) log(message string, args ...any) { x.logAt(slog.LevelInfo, message, args...) }

func (x *exchange) logAt(level slog.Level, message string, args ...any) {
	x.idp.o.Log.Log(x.r.Context(), level, message, append([]any{"request_id", x.requestID, "client", request.AddressText(x.client)}, args...)...)
}

// clearPath is the gateway's own path that has a browser forget the pages of its host.
const clearPath = "/.vilogate/clear"

// page answers with a page. Its forms lead to this host and, by redirect, to the origins: browsers apply a form-action to
// redirects too.
func (x *exchange) page(status int, page pages.Page, origins ...string) {
	body, err := pages.Render(page)
	if err != nil { // a page is a constant and a few words
		x.log("rendering the page failed", "error", err)
		status = http.StatusInternalServerError
	}
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	images := "data:"
	if out, ok := page.(pages.SignedOut); ok && out.Clear != "" {
		images += " " + strings.TrimSuffix(out.Clear, clearPath)
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+pages.StyleSource+"; img-src "+images+"; base-uri 'none'; frame-ancestors 'none'; form-action "+
		strings.Join(append([]string{"'self'"}, slices.DeleteFunc(origins, func(o string) bool { return o == "" })...), " "))
	h.Set("Vary", "Cookie")
	x.send(status, body)
}

func (x *exchange) json(status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		x.log("encoding the response failed", "error", err)
		status = http.StatusInternalServerError
	}
	x.w.Header().Set("Content-Type", "application/json")
	x.send(status, append(body, '\n'))
}

func (x *exchange) redirect(status int, address string) {
	x.w.Header().Set("Location", address)
	x.status = status
	x.w.WriteHeader(status)
}

func (x *exchange) send(status int, body []byte) {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.status = status
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	if _, err := x.w.Write(body); err != nil {
		x.log("writing the response failed", "error", err)
	}
}

// loginURL is where somebody signs in who is to come back to the account page, the only one that wants it.
func (x *exchange) loginURL(account string) string {
	return x.idp.origin + "/login?redirect_uri=" + url.QueryEscape(x.idp.origin+account)
}

// back is the address that the account page leads back to: the one in its query, else the page that people came from. It has
// no origin where there is none that is safe.
func (x *exchange) back() redirectURI {
	if to, ok := x.redirects.wanted(x.r.URL.RawQuery); ok && to.origin != "" {
		return to
	}
	return x.referrer()
}

// referrer is the page that people came from, where a login could return to it; it has no origin where that is not known.
func (x *exchange) referrer() redirectURI {
	if lines := x.r.Header["Referer"]; len(lines) == 1 {
		if to, ok := x.redirects.validate(lines[0]); ok && to.origin != "" {
			return to
		}
	}
	return redirectURI{}
}

// recentLoginURL is where somebody whose login is older than maxAge signs in again, and then comes back to the account page.
func (x *exchange) recentLoginURL(maxAge time.Duration) string {
	return x.loginURL(x.back().accountURL()) + "&max_age=" + strconv.Itoa(int(maxAge/time.Second))
}

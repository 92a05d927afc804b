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

	"github.com/viloforge/vilogate/idp/pages"
)

// visit is one request, and what every step wants to know of it. It belongs to the goroutine that serves the request.
type visit struct {
	idp       *IDP
	w         http.ResponseWriter
	r         *http.Request
	returns   *Returns
	client    netip.Addr
	requestID string
	status    int // of the answer, once it has begun
}

func (p *IDP) visit(w http.ResponseWriter, r *http.Request) *visit {
	x := &visit{idp: p, w: w, r: r, returns: p.o.Returns()}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err == nil {
		x.client = peer.Addr().Unmap()
	}
	// Without trusted proxies the gateway is in this process, and has made these headers itself.
	believed := len(p.o.TrustedProxies) == 0 || p.trusted(x.client)
	if len(p.o.TrustedProxies) > 0 && believed {
		x.client = p.forwardedFor(x.client, r.Header["X-Forwarded-For"])
	}
	if ids := r.Header["X-Request-Id"]; believed && len(ids) == 1 && validRequestID(ids[0]) {
		x.requestID = ids[0]
	} else {
		x.requestID = strings.ToLower(rand.Text())
	}
	return x
}

func (p *IDP) trusted(addr netip.Addr) bool {
	addr = addr.WithZone("")
	return slices.ContainsFunc(p.o.TrustedProxies, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// forwardedFor walks the list from its end, where the nearest proxy wrote, to the first address that is not a trusted
// proxy's. What stands before it was written by strangers.
func (p *IDP) forwardedFor(peer netip.Addr, lines []string) netip.Addr {
	hops := strings.Split(strings.Join(lines, ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return peer
		}
		if peer = addr.Unmap(); !p.trusted(peer) {
			return peer
		}
	}
	return peer
}

func validRequestID(id string) bool {
	return id != "" && len(id) <= 128 && consistsOf(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
}

// log writes what happened, with who asked.
func (x *visit) log(message string, args ...any) { x.logAt(slog.LevelInfo, message, args...) }

func (x *visit) logAt(level slog.Level, message string, args ...any) {
	x.idp.o.Log.Log(x.r.Context(), level, message, append([]any{"request_id", x.requestID, "client", x.client}, args...)...)
}

// page answers with a page. Its forms lead to this host and, by redirect, to the origins: browsers apply a form-action to
// redirects too.
func (x *visit) page(status int, page pages.Page, origins ...string) {
	body, err := pages.Render(page)
	if err != nil { // a page is a constant and a few words
		x.log("a page could not be made", "error", err)
		status = http.StatusInternalServerError
	}
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+pages.StyleSource+"; img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action "+
		strings.Join(append([]string{"'self'"}, slices.DeleteFunc(origins, func(o string) bool { return o == "" })...), " "))
	h.Set("Vary", "Cookie")
	x.send(status, body)
}

func (x *visit) json(status int, kind string, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		x.log("an answer could not be made", "error", err)
		status = http.StatusInternalServerError
	}
	x.w.Header().Set("Content-Type", kind)
	x.send(status, append(body, '\n'))
}

func (x *visit) redirect(status int, address string) {
	x.w.Header().Set("Location", address)
	x.status = status
	x.w.WriteHeader(status)
}

func (x *visit) send(status int, body []byte) {
	x.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	x.status = status
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return
	}
	if _, err := x.w.Write(body); err != nil {
		x.log("the answer was not taken", "error", err)
	}
}

// loginURL is where somebody signs in who is to come back to the account page, the only one that wants it.
func (x *visit) loginURL() string {
	return x.idp.origin + "/login?redirect_uri=" + url.QueryEscape(x.idp.origin+"/account")
}

// wantsDocument reports whether a person looks at the answer: Fetch Metadata says document and not prefetch, or, where a
// client sends none, Accept prefers HTML.
func wantsDocument(h http.Header) bool {
	if strings.Contains(h.Get("Sec-Purpose"), "prefetch") || strings.EqualFold(h.Get("Purpose"), "prefetch") {
		return false
	}
	if h["Sec-Fetch-Dest"] != nil || h["Sec-Fetch-Mode"] != nil || h["Sec-Fetch-Site"] != nil {
		return h.Get("Sec-Fetch-Dest") == "document"
	}
	for kind := range strings.SplitSeq(h.Get("Accept"), ",") {
		kind, _, _ = strings.Cut(kind, ";")
		switch strings.TrimSpace(kind) {
		case "text/html", "application/xhtml+xml":
			return true
		case "application/json", "application/problem+json":
			return false
		}
	}
	return false
}

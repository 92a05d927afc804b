package upstreams

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/viloforge/vilogate/upstreams/identity"
)

// WebsiteConfig says where the website stands.
type WebsiteConfig struct {
	// Domain is the parent domain. The APIs and the login host are below it:
	// billing-api, inventory-api and login. Required.
	Domain string
}

//go:embed page/*.html
var pageHTML embed.FS

var (
	//go:embed page/site.css
	siteCSS []byte
	//go:embed page/site.js
	siteJS []byte
	//go:embed page/icon.svg
	iconSVG []byte
)

// website is the page for people.
type website struct {
	domain string
	pages  *template.Template
}

// Website is the page for people: / shows who they are, with invoices and items
// that its own JavaScript fetches from the two APIs; /about is for anybody, and
// so is what lies below /static/. GET /whoami answers as the APIs do.
func Website(kit *identity.Kit, c WebsiteConfig) http.Handler {
	site := &website{domain: c.Domain, pages: template.Must(template.ParseFS(pageHTML, "page/*.html"))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", serveHealth)
	mux.Handle("GET /favicon.ico", staticFile("icon.svg", iconSVG)) // browsers ask for it unasked
	mux.Handle("GET /whoami", kit.Require(http.HandlerFunc(serveWhoami)))
	mux.Handle("GET /{$}", kit.Require(site.page("home.html")))
	mux.Handle("GET /about", kit.Optional(site.page("about.html")))
	mux.Handle("GET /static/site.css", staticFile("site.css", siteCSS))
	mux.Handle("GET /static/site.js", staticFile("site.js", siteJS))
	mux.Handle("GET /static/icon.svg", staticFile("icon.svg", iconSVG))
	return mux
}

// view is what a page shows.
type view struct {
	Who       identity.Identity
	SignedIn  bool
	Billing   string // origins
	Inventory string
	Login     string
}

// page serves a page made for whoever asks. Its policy lets it run its own
// script, speak to the two APIs, and sign out by way of the login host; nothing else.
func (s *website) page(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		port := publicPort(r.Host)
		v := view{
			Billing:   "https://billing-api." + s.domain + port,
			Inventory: "https://inventory-api." + s.domain + port,
			Login:     "https://login." + s.domain + port,
		}
		v.Who, v.SignedIn = identity.From(r.Context())
		var body bytes.Buffer
		if err := s.pages.ExecuteTemplate(&body, name, v); err != nil {
			writeProblem(w, r, http.StatusInternalServerError, "The page could not be made")
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", fmt.Sprintf("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src %s %s; form-action 'self' %s; base-uri 'none'; frame-ancestors 'none'", v.Billing, v.Inventory, v.Login))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		if _, err := w.Write(body.Bytes()); err != nil {
			return // the client has disconnected
		}
	})
}

// publicPort is ":" and the port that people see, or "" for the usual one. The
// gateway passes it on in Host.
func publicPort(host string) string {
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		return ""
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 443 {
		return ""
	}
	return ":" + strconv.FormatUint(number, 10)
}

// staticFile serves a file of the page with an ETag.
func staticFile(name string, content []byte) http.Handler {
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tag)
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

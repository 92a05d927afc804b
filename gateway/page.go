package gateway

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"github.com/viloforge/vilogate/policies"
)

//go:embed pages/refusal.html
var refusalHTML string

//go:embed pages/refusal.css
var refusalCSS string

var (
	refusalPage = template.Must(template.New("refusal").Parse(refusalHTML))
	refusalCSP  = contentSecurityPolicy(refusalCSS, "'none'", "'none'")
	formCSP     = contentSecurityPolicy(refusalCSS, "'self'", "'none'")
	keptCSP     = contentSecurityPolicy(refusalCSS, "*", "'none'") // the backend may redirect its form's sender anywhere
)

// contentSecurityPolicy allows that one inline style, by its hash, forms to go there, frames of those, and nothing else.
func contentSecurityPolicy(css, formAction, frameAncestors string) string {
	sum := sha256.Sum256([]byte(css))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action " + formAction + "; frame-ancestors " + frameAncestors
}

// page is what a person is shown.
type page struct {
	Title, Detail, RequestID string
	Status                   int    // 0: not shown
	User                     string // who is signed in, "" where nobody is or it is not told
	LoginURL                 string // of the button that leads there; "" for none
	OtherAccountURL          string // where somebody else signs in, and comes back here; "" for none
	BackURL, BackHost        string // where to go from here, and whose that is; "" for nowhere
	RemoveCookies            string // where the form goes that removes the browser's cookies; "" for none
	Note                     string // more that is said, "" for nothing
	Kept                     *keptForm
	Frame                    bool // the page stands in a frame of another: the login opens in place of all
	CSS                      template.CSS
}

// keptForm is what a person is asked about a kept post: whether to send it. Its content is not shown.
type keptForm struct {
	Address    string // host and path
	Size, Kind string
	Send       template.HTMLAttr // action="…": templates would spell the address anew
	Field, ID  string
	Drop       string // where the form goes that throws it away
}

// writeRefusal writes a refusal for a person: who is signed in and not let in is told as whom, and how to go on.
func (x *exchange) writeRefusal(r *refusal, loginURL string) {
	p := page{Title: r.title, Detail: r.detail, Note: r.note, Status: r.status, LoginURL: loginURL}
	if r.removeCookies {
		p.RemoveCookies = policies.PathRemoveCookies
	}
	if who := x.decided.authentication.principal; who != nil && r.status == http.StatusForbidden {
		p.User = cmp.Or(who.claims.User(), who.claims.Email(), who.claims.Name())
		if r.kind == kindForbidden && x.isNavigation() && x.gen.Login.URL == "" {
			if p.OtherAccountURL = x.loginURL(); p.OtherAccountURL != "" {
				p.OtherAccountURL += "&prompt=select_account"
			}
		}
		if p.BackURL = x.backURL(); p.BackURL != "" {
			p.BackHost = strings.TrimPrefix(originOf(p.BackURL), "https://")
		}
	}
	x.writePage(r.status, p)
}

// writeFramePage is for a frame whose page needs a login: the form refuses to be framed, so that a link opens it in place of
// the page around the frame. Hosts of the domain may show it.
func (x *exchange) writeFramePage(r *refusal, loginURL string) {
	x.reply.Header().Set("Content-Security-Policy", contentSecurityPolicy(refusalCSS, "'none'", x.gen.origin(x.gen.Domain)+" "+x.gen.origin("*."+x.gen.Domain)))
	x.writePage(r.status, page{Title: r.title, Detail: r.detail, LoginURL: loginURL, Frame: true})
}

func (x *received) writePage(status int, p page) {
	h := x.reply.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	if !p.Frame {
		h.Set("Content-Security-Policy", refusalCSP)
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if p.RemoveCookies != "" {
		h.Set("Content-Security-Policy", formCSP)
		h.Set("Referrer-Policy", "same-origin") // without a referrer a form's Origin is null
	}
	if p.Kept != nil {
		h.Set("Content-Security-Policy", keptCSP)
		h.Set("Referrer-Policy", "strict-origin") // likewise, and the backend need not know of this page
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

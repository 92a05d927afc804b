package upstreams_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/upstreams"
	"github.com/viloforge/vilogate/upstreams/identity"
)

const domain = "viloforge.localhost"

// gateway signs assertions for the backends of a test.
type gateway struct {
	tb  testing.TB
	key *token.PrivateKey
}

func newGateway(tb testing.TB) gateway {
	tb.Helper()
	key, err := token.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return gateway{tb, key}
}

// kit is the kit of the backend of that name.
func (g gateway) kit(audience string) *identity.Kit {
	g.tb.Helper()
	kit, err := identity.New(identity.Config{
		Keys: jwks.Static([]token.PublicKey{g.key.Public()}), Issuer: "https://" + domain, Audience: audience,
	})
	if err != nil {
		g.tb.Fatal(err)
	}
	return kit
}

// assert signs who is asking: user, whose name is <User>.
func (g gateway) assert(audience, user string, roles ...string) string {
	g.tb.Helper()
	now := time.Now()
	signed, err := g.key.SignAssertion(token.Assertion{
		Issuer: "https://" + domain, Audience: audience, Subject: "id-of-" + user, User: user, Name: "<" + user + ">",
		Email: user + "@" + domain, Session: "session-1", Roles: roles, AuthTime: now, IssuedAt: now, Expires: now.Add(time.Minute),
	})
	if err != nil {
		g.tb.Fatal(err)
	}
	return signed
}

// send sends a request, with an assertion unless that is empty.
func send(h http.Handler, method, target, assertion, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if assertion != "" {
		r.Header.Set(identity.Header, assertion)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	return v
}

func TestNothingButThePublicPathsWithoutAnAssertion(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	backends := map[string]http.Handler{
		"website":   upstreams.Website(g.kit("website"), upstreams.WebsiteConfig{Domain: domain}),
		"billing":   upstreams.Billing(g.kit("billing")),
		"inventory": upstreams.Inventory(g.kit("inventory")),
	}
	for _, c := range []struct {
		backend, method, path string
		want                  int
	}{
		{"website", "GET", "/", 401},
		{"website", "GET", "/whoami", 401},
		{"website", "GET", "/about", 200},
		{"website", "GET", "/healthz", 200},
		{"website", "GET", "/static/site.js", 200},
		{"website", "GET", "/static/site.css", 200},
		{"website", "GET", "/static/icon.svg", 200},
		{"website", "GET", "/static/", 404},
		{"website", "GET", "/nothing", 404},
		{"billing", "GET", "/healthz", 200},
		{"billing", "GET", "/whoami", 401},
		{"billing", "GET", "/invoices", 401},
		{"billing", "POST", "/invoices/1/refund", 401},
		{"inventory", "GET", "/healthz", 200},
		{"inventory", "GET", "/whoami", 401},
		{"inventory", "GET", "/items", 401},
		{"inventory", "POST", "/items", 401},
	} {
		if w := send(backends[c.backend], c.method, c.path, "", ""); w.Code != c.want {
			t.Errorf("%s %s of %s: %d, want %d", c.method, c.path, c.backend, w.Code, c.want)
		}
	}
}

func TestWhoamiSaysWhatWasVerifiedAndWhatWasReceived(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	for name, backend := range map[string]http.Handler{
		"website":   upstreams.Website(g.kit("website"), upstreams.WebsiteConfig{Domain: domain}),
		"billing":   upstreams.Billing(g.kit("billing")),
		"inventory": upstreams.Inventory(g.kit("inventory")),
	} {
		assertion := g.assert(name, "alice", "member")
		got := decode[map[string]any](t, send(backend, http.MethodGet, "/whoami", assertion, ""))
		want := map[string]any{
			"user": "alice", "id": "id-of-alice", "email": "alice@" + domain, "name": "<alice>", "roles": []any{"member"},
			"session": "session-1", "headers": map[string]any{"x-user-assertion": []any{assertion}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestBilling(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	billing, bob := upstreams.Billing(g.kit("billing")), g.assert("billing", "bob", "billing-admin")
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/invoices", `200 [{"invoice_id":1,"amount":100,"user":"bob"},{"invoice_id":2,"amount":250,"user":"bob"}]`},
		{"POST", "/invoices/2/refund", `200 {"invoice_id":2,"refunded":true}`},
		{"POST", "/invoices/7/refund", `404 {"type":"about:blank","title":"There is no such invoice","status":404}`},
		{"POST", "/invoices/02/refund", `404 {"type":"about:blank","title":"There is no such invoice","status":404}`},
	} {
		w := send(billing, c.method, c.path, bob, "")
		if got := fmt.Sprintf("%d %s", w.Code, strings.TrimSpace(w.Body.String())); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.path, got, c.want)
		}
	}
}

func TestInventoryKeepsWhatIsPutInIt(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	inventory, alice := upstreams.Inventory(g.kit("inventory")), g.assert("inventory", "alice", "member")
	type item struct {
		ID       int    `json:"item_id"`
		Name     string `json:"name"`
		Quantity int    `json:"quantity"`
	}
	before := decode[[]item](t, send(inventory, http.MethodGet, "/items", alice, ""))
	w := send(inventory, http.MethodPost, "/items", alice, `{"name":"Bellows","quantity":2}`)
	created := decode[item](t, w)
	if w.Code != http.StatusCreated || created != (item{len(before) + 1, "Bellows", 2}) {
		t.Errorf("%d %+v", w.Code, created)
	}
	after := decode[[]item](t, send(inventory, http.MethodGet, "/items", alice, ""))
	if !reflect.DeepEqual(after, append(before, created)) {
		t.Errorf("before %v, after %v", before, after)
	}
	for body, want := range map[string]int{
		``:                                 400,
		`[]`:                               400,
		`{"name":"x"}`:                     400,
		`{"quantity":1}`:                   400,
		`{"name":"","quantity":1}`:         400,
		`{"name":"x","quantity":-1}`:       400,
		`{"name":"x","quantity":1.5}`:      400,
		`{"name":"x","quantity":"1"}`:      400,
		`{"name":"x","quantity":1,"id":7}`: 400,
		`{"name":"x","quantity":1}{}`:      400,
		`{"name":"` + strings.Repeat("x", 101) + `","quantity":1}`:  400,
		`{"name":"` + strings.Repeat("x", 9000) + `","quantity":1}`: 413,
	} {
		if w := send(inventory, http.MethodPost, "/items", alice, body); w.Code != want {
			t.Errorf("%.60s: %d, want %d", body, w.Code, want)
		}
	}
	for range 1000 - len(after) {
		send(inventory, http.MethodPost, "/items", alice, `{"name":"Nail","quantity":1}`)
	}
	if w := send(inventory, http.MethodPost, "/items", alice, `{"name":"Nail","quantity":1}`); w.Code != http.StatusInsufficientStorage {
		t.Errorf("a full inventory: %d", w.Code)
	}
}

func TestPageTrustsItsOwnScriptAndItsTwoAPIs(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	website, alice := upstreams.Website(g.kit("website"), upstreams.WebsiteConfig{Domain: domain}), g.assert("website", "alice", "member")
	for host, port := range map[string]string{
		"website." + domain:                       "",
		"website." + domain + ":443":              "",
		"website." + domain + ":8443":             ":8443",
		"website." + domain + ":8443; script-src": "",
		"website." + domain + ":99999":            "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		r.Header.Set(identity.Header, alice)
		w := httptest.NewRecorder()
		website.ServeHTTP(w, r)
		want := "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
			"connect-src https://billing-api." + domain + port + " https://inventory-api." + domain + port + "; " +
			"form-action 'self' https://login." + domain + port + "; base-uri 'none'; frame-ancestors 'none'"
		if got := w.Header().Get("Content-Security-Policy"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", host, got, want)
		}
		body := w.Body.String()
		if strings.Contains(body, "<alice>") || !strings.Contains(body, "&lt;alice&gt;") {
			t.Errorf("the name is markup: %s", body)
		}
		for _, inline := range []string{"<style", " style=", "<script>", " onclick=", "javascript:"} {
			if strings.Contains(body, inline) {
				t.Errorf("the page has %q inline", inline)
			}
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("headers: %v", w.Header())
		}
	}
}

func TestStaticFilesAreKeptByBrowsers(t *testing.T) {
	t.Parallel()
	website := upstreams.Website(newGateway(t).kit("website"), upstreams.WebsiteConfig{Domain: domain})
	for name, kind := range map[string]string{"site.css": "text/css", "site.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		first := send(website, http.MethodGet, "/static/"+name, "", "")
		if first.Code != http.StatusOK || !strings.HasPrefix(first.Header().Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", name, first.Code, first.Header().Get("Content-Type"))
		}
		r := httptest.NewRequest(http.MethodGet, "/static/"+name, nil)
		r.Header.Set("If-None-Match", first.Header().Get("ETag"))
		w := httptest.NewRecorder()
		website.ServeHTTP(w, r)
		if w.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", name, w.Code)
		}
	}
}

func TestAboutKnowsWhoIsAsking(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	website := upstreams.Website(g.kit("website"), upstreams.WebsiteConfig{Domain: domain})
	for assertion, want := range map[string]string{
		"":                             "You are not signed in.",
		"forged":                       "You are not signed in.",
		g.assert("website", "alice"):   "signed in as <strong>alice</strong>",
		g.assert("inventory", "alice"): "You are not signed in.",
	} {
		body, err := io.ReadAll(send(website, http.MethodGet, "/about", assertion, "").Body)
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%.20q: lacks %q: %s", assertion, want, body)
		}
	}
}

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// application answers for every host with a page that has a form, and with JSON below /api/. It remembers what changed
// something.
type application struct {
	*httptest.Server
	mu    sync.Mutex
	posts []string // guarded by mu: host, path and user of every POST
}

func newApplication(t *testing.T) *application {
	t.Helper()
	a := &application{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := r.Header.Get("X-User")
		if r.Method == http.MethodPost {
			host, _, _ := strings.Cut(r.Host, ".")
			a.mu.Lock()
			a.posts = append(a.posts, host+r.URL.Path+" "+user)
			a.mu.Unlock()
		}
		if strings.HasPrefix(r.URL.Path, "/api/") {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Total", "7")
			w.Header().Set("Access-Control-Allow-Origin", "*") // which the gateway replaces
			fmt.Fprintf(w, `{"user":%q,"method":%q}`, user, r.Method)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><title>page</title><p id="user">%s</p><p id="method">%s</p>
<form method="post" action="/save"><button id="own">Save</button></form>`, user, r.Method)
	}))
	t.Cleanup(a.Close)
	return a
}

// posted returns what changed something since it was last asked.
func (a *application) posted() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	posts := a.posts
	a.posts = nil
	return posts
}

// site is a site in front of the application, at an address that browsers find, with alice as its user; more are keys of `idp:`.
func (a *application) site(t *testing.T, policies map[string]string, more ...string) *site {
	t.Helper()
	listen := freeAddress(t)
	files := map[string]string{"vilogate.yaml": fmt.Sprintf(`
domain: viloforge.localhost
listen: { https: %q, http: "off", admin: "off" }
state: state
certificates: { source: local }
policies: policies/
login: { host: login.viloforge.localhost }
idp: { %s }
upstreams: { app: { url: %q } }
`, listen, strings.Join(more, ", "), a.URL)}
	maps.Copy(files, policies)
	s := prepare(t, files)
	s.domain, s.port = "viloforge.localhost", listen[strings.LastIndex(listen, ":"):]
	s.start()
	s.addUser("alice", "member")
	return s
}

// fetch has the page send a request, and returns what its script gets to see: status, user and headers, or why it sees
// nothing.
func (b *tab) fetch(address, options string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
	defer cancel()
	got, err := chromedp.Run(ctx, chromedp.Evaluate[string](fmt.Sprintf(`fetch(%q, %s).then(async r => {
		let who = ""; try { who = (await r.json()).user } catch {}
		return [r.status, who, r.headers.get("X-Total"), r.headers.get("X-Request-Id") ? "id" : ""].join(" ")
	}, e => e.name)`, address, options), chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("fetching %s: %v", address, err)
	}
	return got
}

// TestBrowserAcrossOrigins: a page of an allowed origin calls both APIs, with the cookie and with a Bearer token; every
// other page is refused by what the browser and the gateway do together.
func TestBrowserAcrossOrigins(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	foreign := newApplication(t) // another site, which is its own server
	files := map[string]string{}
	for _, api := range []string{"billing-api", "inventory-api"} {
		files["policies/"+api+".yaml"] = "host: " + api + `.viloforge.localhost
upstream: app
cors: { origins: ["https://website.viloforge.localhost"], credentials: true, exposed_headers: [X-Total] }
routes:
  - { path: /api/open, allow: public, cors: { origins: ["*"] } }
  - { path: "/api/*rest", allow: authenticated }
`
	}
	files["policies/website.yaml"] = "host: website.viloforge.localhost\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n"
	files["policies/sibling.yaml"] = "host: sibling.viloforge.localhost\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n"
	s := app.site(t, files)
	bearer := s.client().login("alice").cookie("website", ssoCookie)

	b := browse(t, s).tab()
	b.open(s.url("website", "/"))
	b.signIn("alice", passwordOf("alice"))
	b.at(s.url("website", "/"))
	const jsonPost = `method: "POST", body: "{}"`
	withCookie := `{ credentials: "include", %s }`
	withBearer := `{ credentials: "omit", headers: { Authorization: "Bearer ` + bearer + `", "Content-Type": "application/json" }, %s }`
	for _, api := range []string{"billing-api", "inventory-api"} {
		for _, options := range []string{
			fmt.Sprintf(withCookie, ""), fmt.Sprintf(withCookie, `headers: { "Content-Type": "application/json" }, `+jsonPost),
			fmt.Sprintf(withBearer, ""), fmt.Sprintf(withBearer, jsonPost),
		} {
			if got := b.fetch(s.url(api, "/api/x"), options); got != "200 alice 7 id" {
				t.Errorf("website calls %s with %.40s…: %s", api, options, got)
			}
		}
		if got := b.fetch(s.url(api, "/api/x"), `{ credentials: "omit" }`); got != "401   id" {
			t.Errorf("without a credential, the page sees why: %s", got)
		}
		if got := b.fetch(s.url(api, "/api/x"), `{ credentials: "include", headers: { "X-Custom": "1" } }`); got != "TypeError" {
			t.Errorf("a header that no rule allows: %s", got)
		}
		if got := fmt.Sprint(app.posted()); got != fmt.Sprintf("[%s/api/x alice %[1]s/api/x alice]", api) {
			t.Errorf("%s received %s", api, got)
		}
	}

	// The site's own form.
	b.run("the site's own form", chromedp.Click(chromedp.CSS("#own")))
	b.at(s.url("website", "/save"))
	if got := fmt.Sprint(app.posted(), " ", b.evaluate(`document.querySelector("#user").textContent`)); got != "[website/save alice] alice" {
		t.Errorf("the site's own form: %s", got)
	}

	// A sibling subdomain, to which browsers give the cookie, and a foreign site.
	for where, page := range map[string]string{"a sibling subdomain": s.url("sibling", "/"), "a foreign site": foreign.URL} {
		b.open(page)
		for _, options := range []string{
			fmt.Sprintf(withCookie, ""), fmt.Sprintf(withCookie, `headers: { "Content-Type": "text/plain" }, `+jsonPost),
			fmt.Sprintf(withCookie, `headers: { "Content-Type": "application/json" }, `+jsonPost), fmt.Sprintf(withBearer, jsonPost),
		} {
			for _, host := range []string{"billing-api", "website"} {
				if got := b.fetch(s.url(host, "/api/x"), options); got != "TypeError" {
					t.Errorf("%s calls %s with %.60s…: %s", where, host, options, got)
				}
			}
		}
		if got := b.fetch(s.url("billing-api", "/api/open"), `{}`); got != "200   id" {
			t.Errorf("%s calls what is open to every page: %s", where, got)
		}
		if got := app.posted(); got != nil {
			t.Errorf("%s: its script changed %q", where, got)
		}
		form := fmt.Sprintf(`(() => { const f = document.createElement("form"); f.method = "post"; f.action = %q; document.body.append(f); f.submit() })()`, s.url("website", "/save"))
		b.evaluate(form)
		b.at(s.url("website", "/save"))
		text, status := b.evaluate("document.body.innerText"), b.evaluate(`performance.getEntriesByType("navigation")[0].responseStatus`)
		if posts := app.posted(); posts != nil || status != "403" && status != "401" {
			t.Errorf("%s: its form was taken: %s %q\n%s", where, status, posts, text)
		}
		if where == "a sibling subdomain" && status != "403" {
			t.Errorf("%s has the cookie sent, and the answer is %s", where, status)
		}
	}
	b.open(s.url("website", "/"))
	var me struct{ User string }
	if err := json.Unmarshal([]byte(b.evaluate(`JSON.stringify({user: document.querySelector("#user").textContent})`)), &me); err != nil || me.User != "alice" {
		t.Errorf("alice is signed in no more: %q %v", me.User, err)
	}
}

// TestBrowserStepUp: a page that asks for a recent login has the person type the password once more, and nothing else; one
// that asks for what cannot be had explains it. Nobody is sent in circles.
func TestBrowserStepUp(t *testing.T) {
	t.Parallel()
	app := newApplication(t)
	s := app.site(t, map[string]string{"policies/website.yaml": `
host: website.viloforge.localhost
upstream: app
routes:
  - { path: /recent, allow: { max_age: 3s } }
  - { path: /factor, allow: { mfa: 15m } }
  - { path: "/*rest", allow: authenticated }
`})
	b := browse(t, s).tab()
	b.open(s.url("website", "/"))
	b.signIn("alice", passwordOf("alice"))
	b.at(s.url("website", "/"))
	eventually(t, "the login is not recent any more", func() bool { return strings.HasPrefix(b.fetch("/recent", "{}"), "401 ") })
	b.open(s.url("website", "/recent"))
	b.run("the form", chromedp.WaitVisible(chromedp.CSS(`input[name="password"]`)))
	if heading, user := b.evaluate(`document.querySelector("h1").textContent`), b.evaluate(`document.querySelector('input[name="username"]').value`); heading != "Sign in again" || user != "alice" {
		t.Errorf("the person sees %q, for %q", heading, user)
	}
	b.run("the password", chromedp.SendKeys(chromedp.CSS(`input[name="password"]`), passwordOf("alice")+"\r"))
	b.at(s.url("website", "/recent"))
	if user := b.evaluate(`document.querySelector("#user").textContent`); user != "alice" {
		t.Errorf("after it, the page shows %q", user)
	}
	b.open(s.url("website", "/factor"))
	if at, text := b.location(), b.evaluate("document.body.innerText"); !strings.HasPrefix(at, s.url("login", "/login")) || !strings.Contains(text, "second factor") {
		t.Errorf("a second factor: %s\n%s", at, text)
	}
	b.open(s.url("website", "/"))
	if user := b.evaluate(`document.querySelector("#user").textContent`); user != "alice" {
		t.Errorf("alice is signed in no more: %q", user)
	}
}

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// browser is a real Chromium that trusts the site's CA and nothing else that is not public.
type browser struct {
	t    *testing.T
	site *site
	root context.Context // of the first tab; every other tab is derived from it
}

// tab is one tab of a browser, with what its console has said.
type tab struct {
	*browser
	ctx context.Context

	mu      sync.Mutex
	console []string // guarded by mu
}

// browse starts one, with more of its options.
func browse(t *testing.T, s *site, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	home := t.TempDir()
	database := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(database, 0o700); err != nil {
		t.Fatal(err)
	}
	certutil := program(t, "certutil", "libnss3-tools")
	for _, arguments := range [][]string{
		{"-N", "-d", "sql:" + database, "--empty-password"}, {"-A", "-d", "sql:" + database, "-t", "C,,", "-n", "vilogate", "-i", s.at.CA},
	} {
		if output, err := exec.Command(certutil, arguments...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %v: %v\n%s", arguments, err, output)
		}
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program(t, "chromium", "chromium")), chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Env("HOME="+home), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-software-rasterizer", true), chromedp.Flag("in-process-gpu", true), // draws with less
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true), chromedp.WSURLReadTimeout(waitTimeout),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	root, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(root); err != nil {
			t.Logf("closing the browser: %v", err)
		}
		closeBrowser()
		stop()
	})
	// No timeout on the first call: it would end the browser with it.
	if err := chromedp.Do(root); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return &browser{t: t, site: s, root: root}
}

func (b *browser) tab() *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.root)
	b.t.Cleanup(cancel)
	t := &tab{browser: b, ctx: ctx}
	messages := chromedp.Console(ctx)
	go func() { // ends with the tab
		for message, err := range messages {
			if err != nil {
				return
			}
			t.mu.Lock()
			t.console = append(t.console, fmt.Sprintf("%s: %s (%s)", message.Type, message.Text, message.URL))
			t.mu.Unlock()
		}
	}()
	return t
}

// run does something in the tab, within the time that everything here gets.
func (b *tab) run(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v\nat %s\nconsole: %q\n%s", what, err, b.location(), b.said(), b.evaluate("document.documentElement.outerHTML"))
	}
}

func (b *tab) open(address string) {
	b.t.Helper()
	b.run("opening "+address, chromedp.Navigate(address))
}

// sendAgain reloads the answer to a form.
func (b *tab) sendAgain() {
	b.t.Helper()
	b.run("reloading", chromedp.Reload())
}

// evaluate returns the value of an expression of JavaScript, of a promise too, as text; "" while a page is on its way.
func (b *tab) evaluate(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[string]("Promise.resolve("+expression+").then(String)", chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Logf("%s: %v", expression, err)
		return ""
	}
	return value
}

// sso is the SSO cookie that the browser has.
func (b *tab) sso() string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
	defer cancel()
	got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{b.site.url("website", "/")}})
	if err != nil {
		b.t.Fatalf("the cookies of the browser: %v", err)
	}
	for _, cookie := range got.Cookies {
		if cookie.Name == ssoCookie {
			return cookie.Value
		}
	}
	return ""
}

func (b *tab) location() string { return b.evaluate("location.href") }

func (b *tab) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.console...)
}

// quiet asserts that the page has complained about nothing.
func (b *tab) quiet() {
	b.t.Helper()
	for _, message := range b.said() {
		if strings.HasPrefix(message, "error") || strings.HasPrefix(message, "exception") || strings.HasPrefix(message, "warning") {
			b.t.Errorf("the console says: %s", message)
		}
	}
}

// at waits until the tab shows an address.
func (b *tab) at(address string) {
	b.t.Helper()
	var shows string
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("waited for %s, last saw %s; console: %q", address, shows, b.said())
		}
	})
	eventually(b.t, "the tab shows "+address, func() bool {
		shows = b.location()
		return shows == address && b.evaluate("document.readyState") == "complete"
	})
}

// signIn fills in the login form as a person does, with the keyboard.
func (b *tab) signIn(user, password string) {
	b.t.Helper()
	b.run("the login form", chromedp.WaitVisible(chromedp.CSS(`input[name="username"]`)))
	if got := b.location(); !strings.HasPrefix(got, b.site.url("login", "/")) {
		b.t.Fatalf("a login form at %s", got)
	}
	b.evaluate(`document.querySelector('input[name="username"]').value = ""`)
	b.run("signing in",
		chromedp.SendKeys(chromedp.CSS(`input[name="username"]`), user),
		chromedp.SendKeys(chromedp.CSS(`input[name="password"]`), password+"\r"),
	)
}

// rows returns the cells of a table's body, once it has any.
func (b *tab) rows(table string) [][]string {
	b.t.Helper()
	var rows [][]string
	eventually(b.t, "rows in "+table, func() bool {
		text := b.evaluate(`JSON.stringify([...document.querySelectorAll("` + table + ` tbody tr")].map(r => [...r.cells].map(c => c.textContent)))`)
		return json.Unmarshal([]byte(text), &rows) == nil && len(rows) > 0
	})
	return rows
}

// sameRows compares a table of the page with what the API answers to the same user.
func sameRows(t *testing.T, got [][]string, api answer, fields ...string) {
	t.Helper()
	list := object[[]map[string]any](t, api)
	var want [][]string
	for _, entry := range list {
		var row []string
		for _, f := range fields {
			row = append(row, fmt.Sprint(entry[f]))
		}
		want = append(want, row)
	}
	if len(want) == 0 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the page shows %q, the backend has %q", got, want)
	}
}

// TestBrowserSignsInOnce: the promise of the whole: one login, and the page's own JavaScript has what it needs from
// three hosts; nothing complains.
func TestBrowserSignsInOnce(t *testing.T) {
	t.Parallel()
	s := develop(t)
	b := browse(t, s).tab()
	b.open(s.url("website", "/"))
	b.signIn("alice", "alice")
	b.at(s.url("website", "/"))
	if user, roles := b.evaluate(`document.querySelector("#user").textContent`), b.evaluate(`document.querySelector("#roles").innerText`); user != "alice" || roles != "member" {
		t.Errorf("the page shows user %q with the roles %q", user, roles)
	}
	c := s.client()
	if got := c.loginAt(s.url("website", "/"), "alice", "alice"); got.status != http.StatusSeeOther {
		t.Fatalf("login: %v", got)
	}
	sameRows(t, b.rows("#invoices"), c.get(s.url("billing-api", "/invoices")), "invoice_id", "amount", "user")
	sameRows(t, b.rows("#items"), c.get(s.url("inventory-api", "/items")), "item_id", "name", "quantity")
	other := b.tab() // where Chromium asks the APIs, which have no pages, for their icon
	for _, host := range []string{"website", "billing-api", "inventory-api"} {
		other.open(s.url(host, "/whoami"))
		who := struct{ User string }{}
		if err := json.Unmarshal([]byte(other.evaluate("document.body.innerText")), &who); err != nil || who.User != "alice" {
			t.Errorf("%s: %q %v", host, who.User, err)
		}
	}
	b.open(s.url("website", "/about"))
	b.quiet()
	// On a phone, no page is wider than the screen.
	b.run("a small screen", chromedp.EmulateViewport(320, 640))
	for _, address := range []string{s.url("website", "/"), s.url("website", "/about"), s.url("login", "/account")} {
		b.open(address)
		if wide := b.evaluate("document.documentElement.scrollWidth"); wide != "320" {
			t.Errorf("%s is %s px wide on a screen of 320", address, wide)
		}
	}
	b.quiet()
}

// TestBrowserWrongPassword: it is said, visibly, and the next try works without starting over.
func TestBrowserWrongPassword(t *testing.T) {
	t.Parallel()
	s := develop(t)
	b := browse(t, s).tab()
	deep := s.url("website", "/whoami?deep=link&x=%2F%C3%A9;y")
	b.open(deep)
	b.signIn("alice", "not alice's")
	b.run("the error", chromedp.WaitVisible(chromedp.CSS(`[role="alert"]`)))
	if text := b.evaluate(`document.querySelector('[role="alert"]').innerText`); strings.TrimSpace(text) == "" {
		t.Error("the error says nothing")
	}
	if got := b.evaluate(`document.querySelector('input[name="username"]').value`); got != "alice" {
		t.Errorf("the name to correct is %q", got)
	}
	b.signIn("alice", "alice")
	b.at(deep)
	for _, message := range b.said() {
		// Chromium itself notes that the wrong password was answered 401.
		if strings.HasPrefix(message, "exception") || strings.HasPrefix(message, "error") && !strings.Contains(message, "401") {
			t.Errorf("the console says: %s", message)
		}
	}
}

// TestBrowserLogoutInAnotherTab: signing out in one tab is seen in the other one.
func TestBrowserLogoutInAnotherTab(t *testing.T) {
	t.Parallel()
	s := develop(t)
	window := browse(t, s)
	first, second := window.tab(), window.tab()
	first.open(s.url("website", "/"))
	first.signIn("alice", "alice")
	first.at(s.url("website", "/"))
	second.open(s.url("website", "/"))
	second.rows("#invoices")
	first.run("signing out", chromedp.Click(chromedp.CSS("#sign-out")))
	first.at(s.url("login", "/logout?done"))
	first.quiet()
	if text := first.evaluate("document.body.innerText"); !strings.Contains(strings.ToLower(text), "signed out") {
		t.Errorf("the page says %q", text)
	}
	// The person turns to the second tab, whose page asks again.
	second.evaluate(`document.dispatchEvent(new Event("visibilitychange"))`)
	eventually(t, "the second tab leads to the login page", func() bool { return strings.HasPrefix(second.location(), s.url("login", "/")) })
	second.open(s.url("billing-api", "/invoices"))
	second.signIn("bob", "bob")
	second.at(s.url("billing-api", "/invoices"))
}

// TestBrowserRemovesCookies: the button of a sign-out that was refused takes the cookies of every host of the domain.
func TestBrowserRemovesCookies(t *testing.T) {
	t.Parallel()
	s := develop(t)
	b := browse(t, s).tab()
	page := s.url("website", "/whoami")
	b.open(page)
	b.signIn("alice", "alice")
	b.at(page)
	b.evaluate(`document.cookie = "planted=1; Domain=viloforge.localhost; Path=/; Secure"`)
	if cookies := b.evaluate("document.cookie"); !strings.Contains(cookies, "planted") {
		t.Fatalf("the cookies are %q", cookies)
	}
	b.evaluate(`(() => {
		const form = document.createElement("form")
		form.method = "post"
		form.action = "/.vilogate/remove-cookies"
		document.documentElement.append(form)
		form.submit()
	})()`)
	b.at(s.url("website", "/.vilogate/remove-cookies"))
	if said := b.evaluate("document.querySelector('h1').innerText"); said != "Your cookies are removed" {
		t.Errorf("the page says %q", said)
	}
	if cookies := b.evaluate("document.cookie"); cookies != "" {
		t.Errorf("the cookies are %q", cookies)
	}
	b.open(page)
	b.run("the login form", chromedp.WaitVisible(chromedp.CSS(`input[name="username"]`)))
}

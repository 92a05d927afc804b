package upstreams_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/viloforge/vilogate/upstreams"
	"github.com/viloforge/vilogate/upstreams/identity"
)

// waitTimeout is how long a page may take to become what it should be.
const waitTimeout = 2 * time.Minute

// fakeGateway stands where the gateway would: it sends each host's requests to its
// backend, as alice's, and can make the two APIs refuse.
type fakeGateway struct {
	tb       testing.TB
	port     string
	override atomic.Pointer[http.HandlerFunc] // what the APIs do instead; nil: nothing
	logins   atomic.Int64                     // how often the login page was asked for
}

func newFakeGateway(tb testing.TB) *fakeGateway {
	tb.Helper()
	g := newGateway(tb)
	e := &fakeGateway{tb: tb}
	backends := map[string]http.Handler{
		"website":       upstreams.Website(g.kit("website"), upstreams.WebsiteConfig{Domain: domain}),
		"billing-api":   upstreams.Billing(g.kit("billing-api")),
		"inventory-api": upstreams.Inventory(g.kit("inventory-api")),
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(r.Host, ".")
		switch {
		case name == "login":
			e.logins.Add(1)
			w.Header().Set("Content-Type", "text/html")
			if _, err := fmt.Fprint(w, "<!doctype html><link rel=icon href=data:><title>Login</title>"); err != nil {
				tb.Error(err)
			}
			return
		case name != "website":
			w.Header().Set("Access-Control-Allow-Origin", "https://website."+domain+e.port)
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			if refuse := e.override.Load(); refuse != nil {
				(*refuse)(w, r)
				return
			}
		}
		r.Header.Set(identity.Header, g.assert(name, "alice", "member"))
		backends[name].ServeHTTP(w, r)
	}))
	tb.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	e.port = ":" + port
	return e
}

// setAPIs overrides the responses of both APIs; nil makes them serve again.
func (e *fakeGateway) setAPIs(handler http.HandlerFunc) {
	if handler == nil {
		e.override.Store(nil)
		return
	}
	e.override.Store(&handler)
}

// problem is what the gateway answers an API's caller with.
func (e *fakeGateway) problem(status int, members string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		if _, err := fmt.Fprintf(w, `{"status":%d,"request_id":"request-7"%s}`, status, members); err != nil {
			e.tb.Error(err)
		}
	}
}

// loginURL is the member that names the login page, to return to the API itself.
func (e *fakeGateway) loginURL() string {
	return fmt.Sprintf(`,"login_url":"https://login.%s%s/login?redirect_uri=https%%3A%%2F%%2Fbilling-api.%s%s%%2F"`, domain, e.port, domain, e.port)
}

// tab is a real browser's tab.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func browse(t *testing.T) tab {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("Debian's package chromium is missing (apt-get install chromium): %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.IgnoreCertErrors, chromedp.Flag("disable-quic", true), chromedp.Flag("no-proxy-server", true), chromedp.WSURLReadTimeout(waitTimeout))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("closing the browser: %v", err)
		}
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting Chromium: %v", err)
	}
	return tab{t, ctx}
}

func (b tab) open(address string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		b.t.Fatalf("%s: %v", address, err)
	}
}

// until waits for JavaScript to become true; navigations may come in between.
func (b tab) until(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if is, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression)); err == nil && is {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			page, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + ' ' + document.body.innerText"))
			b.t.Fatalf("never true: %s\n%s %v", expression, page, err)
		}
	}
}

// do runs JavaScript.
func (b tab) do(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, waitTimeout)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("(() => { "+expression+"; return true; })()")); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
}

// The text of a table's rows, and of what stands below it.
const (
	invoiceRows = `[...document.querySelectorAll('#invoices tbody tr')].map(r => r.innerText.split(/\s+/).join(' ')).join()`
	invoiceNote = `document.querySelector('#invoices + .note').innerText`
)

func TestPageShowsWhatTheAPIsAnswer(t *testing.T) {
	t.Parallel()
	e, b := newFakeGateway(t), browse(t)
	address := "https://website." + domain + e.port + "/"
	noted := func(text string) { t.Helper(); b.until(invoiceNote + `.includes(` + strconv.Quote(text) + `)`) }

	// Complaints of the page are counted from here on: the refusals below are in the console by themselves.
	messages := chromedp.Console(b.ctx)
	ctx, cancel := context.WithCancel(b.ctx)
	complaints := make(chan string, 1)
	go func() {
		defer close(complaints)
		for m, err := range messages {
			if err != nil || ctx.Err() != nil {
				return
			}
			if m.Type == "error" || m.Type == "warning" || m.IsException() {
				complaints <- m.Text
				return
			}
		}
	}()
	b.open(address)
	b.until(invoiceRows + ` === "1 100 alice,2 250 alice"`)
	b.until(`document.querySelectorAll('#items tbody tr').length === 3 && ` + invoiceNote + ` === ''`)
	b.until(`document.querySelector('#user').innerText === 'alice' && document.querySelector('h1').innerText === '<alice>'`)
	b.until(`document.documentElement.scrollWidth <= innerWidth`)
	select {
	case complaint := <-complaints:
		t.Errorf("the console says: %s", complaint)
	default:
	}
	cancel()

	e.setAPIs(e.problem(http.StatusForbidden, ""))
	b.open(address)
	noted("You are signed in, but this is not open to you. (request request-7)")

	e.setAPIs(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	b.open(address)
	noted("The service could not be reached.")
	e.setAPIs(nil)
	b.do(`document.querySelector('#invoices + .note button').click()`)
	b.until(invoiceRows + ` === "1 100 alice,2 250 alice"`)

	e.setAPIs(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<h1>Oh</h1>", http.StatusBadGateway) })
	b.do(`document.dispatchEvent(new Event('visibilitychange'))`)
	noted("The service is not available right now. You are still signed in.")
	b.until(invoiceRows + ` === ""`)

	e.setAPIs(func(w http.ResponseWriter, _ *http.Request) {
		http.ServeContent(w, &http.Request{}, "x.html", time.Time{}, strings.NewReader("<p>"))
	})
	b.open(address)
	noted("an answer that this page does not understand")
}

func TestPageSendsPeopleToTheLoginPageAndBack(t *testing.T) {
	t.Parallel()
	e, b := newFakeGateway(t), browse(t)
	address := "https://website." + domain + e.port + "/?month=2026-11&x=%26"

	b.open(address)
	b.until(invoiceRows + ` === "1 100 alice,2 250 alice"`)
	e.setAPIs(e.problem(http.StatusUnauthorized, e.loginURL()))   // signed out in another tab
	b.do(`document.dispatchEvent(new Event('visibilitychange'))`) // and back to this one
	b.until(`location.host === "login.` + domain + e.port + `"`)  // where signing in leads back to this very page
	b.until(`location.search === ` + strconv.Quote("?redirect_uri="+url.QueryEscape(address)))

	b.open(address) // and yet the API says that nobody is signed in
	b.until(`document.querySelector('#items + .note')?.innerText.includes('You are not signed in.')`)
	b.until(`document.querySelector('#items + .note a').href.startsWith("https://login.` + domain + e.port + `/login?redirect_uri=https%3A%2F%2Fwebsite.")`)
	if logins := e.logins.Load(); logins != 1 {
		t.Errorf("sent to the login page %d times", logins)
	}

	e.setAPIs(e.problem(http.StatusUnauthorized, `,"login_url":"javascript:alert(1)"`))
	b.open(address)
	b.until(`document.querySelector('#items + .note button')?.innerText === 'Try again'`)
}

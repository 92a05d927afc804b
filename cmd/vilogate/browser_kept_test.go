package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// editor is an application with a form of text and a file, which keeps what it is sent.
type editor struct {
	*httptest.Server
	mu   sync.Mutex
	sent []sentForm // guarded by mu
}

type sentForm struct {
	contentType string
	body        []byte
}

// taken is what was sent since it was last asked.
func (e *editor) taken() []sentForm {
	e.mu.Lock()
	defer e.mu.Unlock()
	sent := e.sent
	e.sent = nil
	return sent
}

func newEditor(t *testing.T) *editor {
	t.Helper()
	e := &editor{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if r.Method == http.MethodPost {
			e.mu.Lock()
			e.sent = append(e.sent, sentForm{r.Header.Get("Content-Type"), body})
			e.mu.Unlock()
			http.Redirect(w, r, "/saved", http.StatusSeeOther)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Cache-Control", "private, max-age=3600")
		fmt.Fprintf(w, `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>page</title><h1>%s of %s</h1>
<form method="post" action="/save?draft=(1)" enctype="multipart/form-data"><textarea name="note"></textarea><input type="file" name="f"><button id="save">Save</button></form>
<form method="post" action="/.vilogate/logout"><button id="sign-out">Sign out</button></form>`, r.URL.Path, r.Header.Get("X-User"))
	}))
	t.Cleanup(e.Close)
	return e
}

const editorPolicy = "host: app.viloforge.localhost\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n"

// onPhone asserts that the page is no wider than a small screen.
func (b *tab) onPhone() {
	b.t.Helper()
	b.run("a small screen", chromedp.EmulateViewport(320, 640))
	if wide := b.evaluate("document.documentElement.scrollWidth"); wide != "320" {
		b.t.Errorf("%s is %s px wide on a screen of 320", b.location(), wide)
	}
	b.run("a large screen", chromedp.EmulateViewport(1280, 800))
}

// TestBrowserGoesBackAfterSigningOut: the back button shows no page of before, though the backend lets browsers keep it.
func TestBrowserGoesBackAfterSigningOut(t *testing.T) {
	t.Parallel()
	e := newEditor(t)
	s := (&application{Server: e.Server}).site(t, map[string]string{"policies/app.yaml": editorPolicy})
	b := browse(t, s).tab()
	b.open(s.url("app", "/one"))
	b.signIn("alice", passwordOf("alice"))
	b.at(s.url("app", "/one"))
	b.open(s.url("app", "/two"))
	b.run("signing out", chromedp.Click(chromedp.CSS("#sign-out")))
	b.at(s.url("login", "/logout?done"))
	eventually(t, "what the page loads", func() bool { return b.evaluate(`document.querySelector("img").complete`) == "true" })
	b.evaluate("history.back()")
	eventually(t, "the login page", func() bool { return strings.HasPrefix(b.location(), s.url("login", "/login")) })
	if text := b.evaluate("document.body.innerText"); strings.Contains(text, "/two of alice") {
		t.Errorf("the page says %q", text)
	}
	b.open(s.url("app", "/one")) // by its address, from the cache of HTTP
	if text := b.evaluate("document.body.innerText"); strings.Contains(text, "of alice") {
		t.Errorf("the page says %q", text)
	}
}

// TestFragmentsSurviveALogin: also one behind a wrong password and a query as long as logins take. The fragment never leaves
// the browser, which carries it along.
func TestFragmentsSurviveALogin(t *testing.T) {
	t.Parallel()
	e := newEditor(t)
	s := (&application{Server: e.Server}).site(t, map[string]string{"policies/app.yaml": editorPolicy})
	deep := s.url("app", "/deep/link?q="+strings.Repeat("x", 4<<10)+"&e=%C3%A9#part-"+strings.Repeat("y", 4<<10))
	long := s.url("app", "/deep/link?q="+strings.Repeat("x", 9<<10)+"#part")
	t.Run("Chromium", func(t *testing.T) {
		t.Parallel()
		b := browse(t, s).tab()
		b.open(deep)
		b.signIn("alice", "not alice's")
		b.run("the error", chromedp.WaitVisible(chromedp.CSS(`[role="alert"]`)))
		b.signIn("alice", passwordOf("alice"))
		b.at(deep)
		other := browse(t, s).tab()
		other.open(long)
		if text := other.evaluate("document.body.innerText"); !strings.Contains(text, "too long to be kept") {
			t.Errorf("the login page says %q", text)
		}
	})
	t.Run("Firefox", func(t *testing.T) {
		t.Parallel()
		f := browseWithFirefox(t, s)
		f.open(long)
		if text := f.evaluate("document.body.innerText"); !strings.Contains(text, "too long to be kept") {
			t.Errorf("the login page says %q", text)
		}
		f.open(deep)
		f.signIn("alice", "not alice's")
		eventually(t, "the error", func() bool { return f.evaluate(`!!document.querySelector('[role="alert"]')`) == "true" })
		f.signIn("alice", passwordOf("alice"))
		f.at(deep)
	})
}

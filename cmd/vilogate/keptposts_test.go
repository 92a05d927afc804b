package main_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
)

// kept is a person whose session was ended while they filled in a form, and the form.
type kept struct {
	t           *testing.T
	c           *client
	address     string
	contentType string
	body        string
}

// formHeader is what a browser says of a form of the host's own page.
var formHeader = []string{
	"Origin: https://" + appHost, "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Sec-Fetch-User: ?1", "Accept: text/html",
}

// endSession ends the session of somebody who keeps its cookie: from another device, as it were.
func (c *client) endSession() {
	c.tb.Helper()
	other := c.fresh()
	got := other.do(http.MethodPost, c.site.url("app", "/.vilogate/logout"), "", cookieLine(c.sso()),
		"Origin: https://"+c.site.authority("app"), "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty")
	if got.status != http.StatusNoContent {
		c.tb.Fatalf("ending the session: %v", got)
	}
}

// files is a form with a file of that size, and its Content-Type.
func files(t *testing.T, size int) (body, contentType string) {
	t.Helper()
	file := make([]byte, size)
	if _, err := rand.Read(file); err != nil {
		t.Fatal(err)
	}
	const boundary = "----WebKitFormBoundaryAbC'()+_,-./:=?"
	return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\na\r\n--" + boundary +
		"\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n" +
		string(file) + "\r\n--" + boundary + "--\r\n", `multipart/form-data; boundary="` + boundary + `"`
}

func newKept(t *testing.T, c *client, target string) *kept {
	t.Helper()
	return &kept{t: t, c: c, address: c.site.url("app", target), contentType: "application/x-www-form-urlencoded", body: "note=a+%E2%82%AC&x=1"}
}

// send sends the form.
func (k *kept) send(header ...string) answer {
	k.t.Helper()
	return k.c.do(http.MethodPost, k.address, k.body, append(append([]string{"Content-Type: " + k.contentType}, formHeader...), header...)...)
}

// page signs the user in by the link of the answer, and returns the page that the login comes back to.
func (k *kept) page(refused answer, user string) (at string, page answer) {
	k.t.Helper()
	if refused.status != http.StatusUnauthorized || !strings.Contains(refused.body, "is kept for ten minutes") {
		k.t.Fatalf("the form of an ended session: %v", refused)
	}
	done := k.c.loginAt(loginLink(k.t, refused.body), user, passwordOf(user))
	if done.status != http.StatusSeeOther || !strings.HasPrefix(done.header.Get("Location"), k.c.site.url("app", "/.vilogate/kept?id=")) {
		k.t.Fatalf("the login: %v", done)
	}
	at = done.header.Get("Location")
	return at, k.c.open(at)
}

// button is the form of the kept page that sends what was kept.
func (k *kept) button(refused answer) form {
	k.t.Helper()
	at, page := k.page(refused, "alice")
	f := formIn(k.t, at, page.body, "vilogate_kept")
	if f.action != k.address {
		k.t.Errorf("the button goes to %s, want %s", f.action, k.address)
	}
	return f
}

// formID is the id of the form that the answer says is kept.
func formID(tb testing.TB, refused answer) string {
	tb.Helper()
	for _, line := range refused.header.Values("Set-Cookie") {
		if id, ok := strings.CutPrefix(line, "__Host-vilogate-kept-"); ok {
			id, _, _ = strings.Cut(id, "=")
			return id
		}
	}
	tb.Fatalf("nothing was kept: %v", refused)
	return ""
}

// loginLink is where the page's button to sign in leads.
func loginLink(tb testing.TB, page string) string {
	tb.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		tb.Fatal(err)
	}
	for node := range root.Descendants() {
		if node.Type == html.ElementNode && node.Data == "a" && attribute(node, "class") == "action" {
			return attribute(node, "href")
		}
	}
	tb.Fatalf("no link to sign in:\n%s", page)
	return ""
}

// arrived asserts that the backend got the form byte for byte, once, as alice's.
func (k *kept) arrived(backend *recorder) {
	k.t.Helper()
	target := strings.TrimPrefix(k.address, "https://"+appHost)
	var found []recorded
	for _, r := range backend.all() {
		if r.target() == target {
			found = append(found, r)
		}
	}
	if len(found) != 1 {
		k.t.Fatalf("%s came %d times", target, len(found))
	}
	if r := found[0]; r.body != k.body || r.value("Content-Type") != k.contentType || r.value("X-User") != "alice" || r.value("Transfer-Encoding") != "" {
		k.t.Errorf("the backend got\n%s\n%.200q", r.head, r.body)
	}
}

// overBoth runs a test for alice, signed in, by each protocol.
func overBoth(t *testing.T, s *site, test func(t *testing.T, c *client, protocol string)) {
	t.Helper()
	for protocol, alpn := range map[string]string{"HTTP1.1": "http/1.1", "HTTP2": "h2"} {
		t.Run(protocol, func(t *testing.T) { test(t, newClient(t, s, s.tls("", alpn)).login("alice"), protocol) })
	}
}

// TestAFormOutlivesItsSession: a form of somebody whose session has ended reaches its backend after they have signed in again:
// byte for byte, once, and only when they say so.
func TestAFormOutlivesItsSession(t *testing.T) {
	t.Parallel()
	s, backend := signing(t, "access_token_ttl: 1h")
	overBoth(t, s, func(t *testing.T, c *client, protocol string) {
		for name, edit := range map[string]func(*kept){
			"urlencoded": func(*kept) {},
			"multipart":  func(k *kept) { k.body, k.contentType = files(t, 700<<10) },
			"empty":      func(k *kept) { k.body = "" },
		} {
			c.endSession()
			k := newKept(t, c, "/orders/"+protocol+"/"+name+"?q=(a)'b&c=%2F")
			edit(k)
			f := k.button(k.send())
			var clicks sync.WaitGroup
			statuses := make([]int, 2)
			for i := range statuses {
				clicks.Go(func() { statuses[i] = c.submit(f).status })
			}
			clicks.Wait()
			if statuses[0]+statuses[1] != http.StatusOK+http.StatusGone {
				t.Errorf("%s: a double click was answered %v", name, statuses)
			}
			if got := c.submit(f); got.status != http.StatusGone {
				t.Errorf("%s: the button of a tab that was left open: %v", name, got)
			}
			k.arrived(backend)
		}
	})
	if out := s.output.String(); !strings.Contains(out, `"kept":20`) || !strings.Contains(out, `"kept_sent":20`) || strings.Contains(out, "%E2%82%AC") {
		t.Errorf("the log says:\n%.3000s", out)
	}
}

// TestAKeptFormIsNobodyElses: another person is told, and nothing is sent; nor is what was thrown away, nor what came from
// another site.
func TestAKeptFormIsNobodyElses(t *testing.T) {
	t.Parallel()
	s, backend := signing(t, "access_token_ttl: 1h")
	s.addUser("bob", "member")
	overBoth(t, s, func(t *testing.T, c *client, _ string) {
		c.endSession()
		k := newKept(t, c, "/other")
		refused := k.send()
		id := formID(t, refused)
		cookie := "; __Host-vilogate-kept-" + id + "=" + c.cookie("app", "__Host-vilogate-kept-"+id)
		at, page := k.page(refused, "bob")
		if page.status != http.StatusForbidden || !strings.Contains(page.body, "somebody else") || strings.Contains(page.body, "vilogate_kept") {
			t.Errorf("another person sees %v", page)
		}
		if got := c.fresh().open(at, cookieLine(c.fresh().login("alice").sso())+cookie); got.status != http.StatusGone {
			t.Errorf("the first person, afterwards: %v", got)
		}
		c.endSession()
		at, page = k.page(k.send(), "bob") // who is signed in by now
		drop := formIn(t, at, page.body, "")
		if drop.fields.Has("vilogate_kept") {
			root := page.body[strings.Index(page.body, "</form>")+len("</form>"):]
			drop = formIn(t, at, root, "")
		}
		if got := c.submit(drop); got.status != http.StatusOK || !strings.Contains(got.body, "thrown away") {
			t.Errorf("throwing it away: %v", got)
		}
		if got := c.open(at); got.status != http.StatusGone {
			t.Errorf("what was thrown away: %v", got)
		}
		c.endSession()
		for name, header := range map[string][]string{
			"a sibling host's form": {"Content-Type: " + k.contentType, "Origin: https://other.viloforge.test", "Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-site", "Accept: text/html"},
			"a fetch":               {"Content-Type: " + k.contentType, "Origin: https://" + appHost, "Sec-Fetch-Dest: empty", "Sec-Fetch-Mode: cors", "Sec-Fetch-Site: same-origin"},
		} {
			got := c.do(http.MethodPost, k.address, k.body, header...)
			if got.status != http.StatusUnauthorized || strings.Contains(got.body, "kept") || strings.Contains(strings.Join(got.header.Values("Set-Cookie"), ""), "kept") {
				t.Errorf("%s: %v", name, got)
			}
		}
		stranger := c.fresh()
		if got := stranger.do(http.MethodPost, k.address, k.body, append([]string{"Content-Type: " + k.contentType}, formHeader...)...); got.status != http.StatusUnauthorized || strings.Contains(got.body, "kept") {
			t.Errorf("a stranger's form: %v", got)
		}
		for _, r := range backend.all() {
			t.Errorf("the backend got %s", r.head)
		}
	})
}

// TestAFormThatIsTooLongIsNotKept: by its length, or when it turns out to be; the page says so.
func TestAFormThatIsTooLongIsNotKept(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
login: { host: login.viloforge.test, keep_post: 64KiB }
idp: { database: sqlite }
upstreams: { app: { url: %q } }
`, backend.url()),
		"policies/app.yaml": attackedPolicy,
	})
	s.addUser("alice", "member")
	overBoth(t, s, func(t *testing.T, c *client, _ string) {
		c.endSession()
		k := newKept(t, c, "/x")
		for size, want := range map[int]string{64 << 10: "is kept for ten minutes", 64<<10 + 1: "could not be kept: it is more than 64KiB"} {
			k.body = strings.Repeat("x", size)
			if got := k.send(); got.status != http.StatusUnauthorized || !strings.Contains(got.body, want) {
				t.Errorf("%d bytes: %v", size, got)
			}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.address, io.NopCloser(strings.NewReader(k.body)))
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = -1
			for _, line := range append([]string{"Content-Type: " + k.contentType}, formHeader...) {
				name, value, _ := strings.Cut(line, ": ")
				request.Header.Set(name, value)
			}
			response, err := c.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			closeQuietly(t, response.Body)
			if err != nil || response.StatusCode != http.StatusUnauthorized || !bytes.Contains(body, []byte(want)) {
				t.Errorf("%d bytes without a length: %d %s, %v", size, response.StatusCode, body, err)
			}
		}
	})
	if got := backend.all(); len(got) != 0 {
		t.Errorf("the backend got %v", got)
	}
}

// TestAFormIsSentByAnotherGateway: what one gateway of a fleet has kept, another sends, and Redis does not know what it is.
func TestAFormIsSentByAnotherGateway(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "")
	one, two := f.gateway(), f.gateway()
	c := one.client().login("alice")
	c.endSession()
	within(t, unhelped, "the second gateway knows", func() bool { return two.ask(t, "app", c.sso()) == http.StatusUnauthorized })
	k := newKept(t, c, "/orders?x=1")
	k.body, k.contentType = files(t, 900<<10)
	var refused answer
	eventually(t, "Redis, on a busy machine, takes it within a second", func() bool {
		refused = k.send()
		return !strings.Contains(refused.body, "could not be kept")
	})
	k.c = two.client()
	k.c.jar, k.c.http.Jar = c.jar, c.jar
	button := k.button(refused)
	id := button.fields.Get("vilogate_kept")
	if value, ok := f.redis.Do("GET", "vilogate:{fleet}:post:"+id).(string); !ok || len(value) < len(k.body) || strings.Contains(value, "WebKitFormBoundary") || strings.Contains(value, appHost) {
		t.Errorf("Redis holds %d bytes", len(value))
	}
	if got := k.c.submit(button); got.status != http.StatusOK {
		t.Fatalf("sending it at the other gateway: %v", got)
	}
	c.do(http.MethodPost, k.address, url.Values{"vilogate_kept": {id}}.Encode(), append([]string{"Content-Type: application/x-www-form-urlencoded"}, formHeader...)...)
	k.arrived(f.backend)

	// Redis has no room: nothing is kept, and signing out goes on.
	c.endSession()
	f.redis.Do("CONFIG", "SET", "maxmemory", "1mb")
	eventually(t, "Redis is full, and it is said", func() bool {
		return strings.Contains(k.send().body, "could not be kept: too much is kept already")
	})
	f.redis.Do("CONFIG", "SET", "maxmemory", "0")
	// Redis is away: nothing is kept, and it is said.
	f.redis.Pause()
	got := k.send()
	f.redis.Resume()
	if strings.Contains(got.body, "is kept for") || got.status != http.StatusUnauthorized && got.status != http.StatusServiceUnavailable {
		t.Errorf("when Redis is away: %v", got)
	}
}

// TestFormsAreNotKeptWhereThatIsOff: login.keep_post: off.
func TestFormsAreNotKeptWhereThatIsOff(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + "login: { host: login.viloforge.test, keep_post: off }\nidp: { database: sqlite }\n" + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": attackedPolicy,
	})
	s.addUser("alice", "member")
	c := s.client().login("alice")
	c.endSession()
	if got := newKept(t, c, "/x").send(); got.status != http.StatusUnauthorized || strings.Contains(got.body, "kept") {
		t.Errorf("a form: %v", got)
	}
}

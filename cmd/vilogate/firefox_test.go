package main_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// firefox is a window of a real Firefox that trusts the site's CA.
type firefox struct {
	*marionette
	t      *testing.T
	site   *site
	handle string
}

// marionette is the connection by which Firefox is driven, in its own protocol for that: a message is its length, a colon and
// JSON, [0, id, command, parameters] there and [1, id, error, result] back.
type marionette struct {
	conn    net.Conn
	in      *bufio.Reader
	last    int
	current string // the handle of the window that commands are for
}

func browseWithFirefox(t *testing.T, s *site) *firefox {
	t.Helper()
	home := t.TempDir()
	profile := filepath.Join(home, "profile")
	address := freeAddress(t)
	writeFiles(t, profile, map[string]string{"user.js": fmt.Sprintf(`
user_pref("marionette.port", %s);
user_pref("app.update.auto", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.proxy.type", 0);
user_pref("signon.rememberSignons", false);
`, address[strings.LastIndex(address, ":")+1:])})
	certutil := program(t, "certutil", "libnss3-tools")
	for _, arguments := range [][]string{
		{"-N", "-d", "sql:" + profile, "--empty-password"}, {"-A", "-d", "sql:" + profile, "-t", "C,,", "-n", "vilogate", "-i", s.at.CA},
	} {
		if output, err := exec.Command(certutil, arguments...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %v: %v\n%s", arguments, err, output)
		}
	}
	p := launch(t, home, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "MOZ_CRASHREPORTER_DISABLE=1"},
		program(t, "firefox-esr", "firefox-esr"), "--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", profile)
	f := &firefox{marionette: &marionette{}, t: t, site: s}
	eventually(t, "Firefox listens", func() bool {
		if !p.running() {
			t.Fatal("Firefox has ended")
		}
		conn, err := net.Dial("tcp", address)
		if err == nil {
			f.conn, f.in = conn, bufio.NewReader(conn)
		}
		return err == nil
	})
	t.Cleanup(func() {
		if err := f.conn.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := f.read(); err != nil { // what it greets with
		t.Fatal(err)
	}
	f.must("WebDriver:NewSession", map[string]any{"strictFileInteractability": false})
	f.must("WebDriver:SetTimeouts", map[string]any{"pageLoad": waitTimeout.Milliseconds(), "script": waitTimeout.Milliseconds()})
	f.handle = f.text("WebDriver:GetWindowHandle", nil)
	f.current = f.handle
	return f
}

// window opens another window of the same profile.
func (f *firefox) window() *firefox {
	f.t.Helper()
	var opened struct{ Handle string }
	if err := json.Unmarshal(f.must("WebDriver:NewWindow", map[string]any{"type": "window"}), &opened); err != nil {
		f.t.Fatal(err)
	}
	return &firefox{marionette: f.marionette, t: f.t, site: f.site, handle: opened.Handle}
}

// here has commands be for this window.
func (f *firefox) here() {
	f.t.Helper()
	if f.current != f.handle {
		f.must("WebDriver:SwitchToWindow", map[string]any{"handle": f.handle})
		f.current = f.handle
	}
}

func (f *marionette) read() (message []byte, err error) {
	if err := f.conn.SetDeadline(time.Now().Add(waitTimeout)); err != nil {
		return nil, err
	}
	length, err := f.in.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil || n > 64<<20 {
		return nil, fmt.Errorf("a message of length %q", length)
	}
	message = make([]byte, n)
	_, err = io.ReadFull(f.in, message)
	return message, err
}

// command has Firefox do something, and returns its result's value.
func (f *marionette) command(name string, parameters map[string]any) (json.RawMessage, error) {
	f.last++
	data, err := json.Marshal([]any{0, f.last, name, parameters})
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(f.conn, "%d:%s", len(data), data); err != nil {
		return nil, err
	}
	message, err := f.read()
	if err != nil {
		return nil, err
	}
	var answer [4]json.RawMessage
	if err := json.Unmarshal(message, &answer); err != nil {
		return nil, err
	}
	if string(answer[2]) != "null" {
		return nil, errors.New(string(answer[2]))
	}
	var result struct{ Value json.RawMessage }
	if err := json.Unmarshal(answer[3], &result); err != nil || result.Value == nil {
		return answer[3], nil
	}
	return result.Value, nil
}

func (f *firefox) must(name string, parameters map[string]any) json.RawMessage {
	f.t.Helper()
	value, err := f.command(name, parameters)
	if err != nil {
		f.t.Fatalf("Firefox, %s %v: %v", name, parameters, err)
	}
	return value
}

// text is the value of a command that is a text.
func (f *firefox) text(name string, parameters map[string]any) (text string) {
	f.t.Helper()
	if value := f.must(name, parameters); json.Unmarshal(value, &text) != nil {
		f.t.Fatalf("Firefox, %s: %s", name, value)
	}
	return text
}

func (f *firefox) open(address string) {
	f.t.Helper()
	f.here()
	f.must("WebDriver:Navigate", map[string]any{"url": address})
}

// sendAgain reloads the answer to a form, which Firefox asks about.
func (f *firefox) sendAgain() {
	f.t.Helper()
	f.here()
	f.must("WebDriver:Refresh", nil)
	f.must("WebDriver:AcceptAlert", nil)
}

// evaluate returns the value of an expression of JavaScript, of a promise too, as text; "" while a page is on its way.
func (f *firefox) evaluate(expression string) string {
	f.t.Helper()
	f.here()
	script := `const done = arguments[arguments.length - 1]; Promise.resolve(` + expression + `).then(v => done(String(v)), e => done(String(e)))`
	value, err := f.command("WebDriver:ExecuteAsyncScript", map[string]any{"script": script, "args": []any{}})
	if err != nil {
		f.t.Logf("%s: %v", expression, err)
		return ""
	}
	var text string
	if err := json.Unmarshal(value, &text); err != nil {
		f.t.Fatalf("%s: %s", expression, value)
	}
	return text
}

// sso is the SSO cookie that the browser has, of which it tells in a page of the domain.
func (f *firefox) sso() string {
	f.t.Helper()
	f.here()
	var cookies []struct{ Name, Value string }
	if err := json.Unmarshal(f.must("WebDriver:GetCookies", nil), &cookies); err != nil {
		f.t.Fatal(err)
	}
	for _, cookie := range cookies {
		if cookie.Name == ssoCookie {
			return cookie.Value
		}
	}
	return ""
}

// at waits until Firefox shows an address.
func (f *firefox) at(address string) {
	f.t.Helper()
	eventually(f.t, "Firefox shows "+address, func() bool {
		return f.evaluate(`location.href + " " + document.readyState`) == address+" complete"
	})
}

// signIn fills in the login form.
func (f *firefox) signIn(user, password string) {
	f.t.Helper()
	eventually(f.t, "a login form", func() bool { return f.evaluate(`!!document.querySelector('input[name="password"]')`) == "true" })
	if got := f.evaluate("location.href"); !strings.HasPrefix(got, f.site.url("login", "/")) {
		f.t.Fatalf("a login form at %s", got)
	}
	f.evaluate(fmt.Sprintf(`(() => { document.querySelector('input[name="username"]').value = %q; document.querySelector('input[name="password"]').value = %q;
		document.querySelector("form button").click() })()`, user, password))
}

// TestFirefoxBehindAServiceWorker: Firefox tells of a navigation that a service worker passes on in another way than Chromium;
// who is signed out gets to the login page all the same, and back to the very place.
func TestFirefoxBehindAServiceWorker(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(passThroughWorker))
	t.Cleanup(backend.Close)
	s := (&application{Server: backend}).site(t, map[string]string{"policies/app.yaml": workerPolicy})
	f := browseWithFirefox(t, s)
	f.open(s.url("app", "/"))
	if got := f.evaluate(registerWorker); got != "true" {
		t.Fatalf("registering the service worker: %s", got)
	}
	f.open(s.url("app", "/secret#part"))
	f.signIn("alice", passwordOf("alice"))
	f.at(s.url("app", "/secret#part"))
	if got := f.evaluate(`document.querySelector("#dest").textContent`); got != "empty same-origin" {
		t.Errorf("the service worker was not in between: %q", got)
	}
	if got := f.evaluate(fmt.Sprintf(`fetch(%q, { headers: { Accept: "text/html" } }).then(r => r.status)`, s.url("app", "/secret"))); got != "200" {
		t.Errorf("a script of the page: %s", got)
	}
}

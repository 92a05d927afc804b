package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// window is one of a browser's, with a page in it.
type window interface {
	open(address string)
	at(address string)
	signIn(user, password string)
	evaluate(expression string) string
	sendAgain()
	sso() string
}

// office is an editor beside which WebSockets are open and uploads take long.
type office struct {
	*editor
	*httptest.Server
	sockets   *longBackend
	uploading chan struct{} // an upload has begun
	goOn      chan struct{} // the rest of it is read
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{editor: newEditor(t), sockets: newLongBackend(t), uploading: make(chan struct{}, 1), goOn: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("/", o.editor.Config.Handler)
	mux.Handle("/socket", o.sockets)
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		digest := sha256.New()
		n, err := io.CopyN(digest, r.Body, 1000)
		o.uploading <- struct{}{}
		<-o.goOn
		more, moreErr := io.Copy(digest, r.Body)
		fmt.Fprintf(w, "%d %x %v %v", n+more, digest.Sum(nil), err, moreErr)
	})
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

// site is the office behind the policies that dev has for its APIs.
func (o *office) site(t *testing.T) *site {
	t.Helper()
	files := map[string]string{"policies/website.yaml": "host: website.viloforge.localhost\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated, websocket: true } ]\n"}
	for _, upstream := range []string{"billing", "inventory"} {
		policy, err := os.ReadFile("../../policies/viloforge.com/" + upstream + "-api.yaml")
		if err != nil {
			t.Fatal(err)
		}
		files["policies/"+upstream+".yaml"] = strings.NewReplacer("viloforge.com", "viloforge.localhost", "upstream: "+upstream, "upstream: app").Replace(string(policy))
	}
	return (&application{Server: o.Server}).site(t, files, "access_token_ttl: 5s")
}

// TestAnHourInABrowser: while tokens expire, one after the other, pages, scripts, forms, an upload and a WebSocket go on in two windows
// of one profile, and nothing asks who is there. A sign-out in one ends the WebSocket of the other; the forms that the other sends
// then are kept, and reach the backend when the person has signed in again and says so.
func TestAnHourInABrowser(t *testing.T) {
	t.Parallel()
	for name, windows := range map[string]func(*testing.T, *site) (first, second window){
		"Chromium": func(t *testing.T, s *site) (first, second window) { b := browse(t, s); return b.tab(), b.tab() },
		"Firefox":  func(t *testing.T, s *site) (first, second window) { f := browseWithFirefox(t, s); return f, f.window() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			s := o.site(t)
			first, second := windows(t, s)
			o.staysSignedIn(t, s, first, second)
			o.signsOut(t, s, first, second)
			o.keepsForms(t, s, second)
			o.sendsAgain(t, s, first, second)
			if strings.Contains(s.output.String(), "session_replay") {
				t.Error("a replay was recorded")
			}
		})
	}
}

// openSocket opens a WebSocket that page scripts find as window.socket, with its end in window.ended.
const openSocket = `new Promise(done => {
	window.ended = ""
	window.socket = new WebSocket("wss://" + location.host + "/socket?browser")
	socket.onopen = () => done("open")
	socket.onclose = e => { window.ended = [e.code, e.reason, e.wasClean, Date.now()].join(" "); done(window.ended) }
})`

// talk says something to it, and is what comes back.
const talk = `new Promise(done => { socket.onmessage = e => done(e.data); socket.readyState == 1 ? socket.send("still there?") : done(window.ended) })`

// pageStatus is the status of the answer that a page was.
const pageStatus = `performance.getEntriesByType("navigation")[0].responseStatus`

// opened has a window show a page: again where it is 503, as on a machine where the IdP is late.
func opened(t *testing.T, w window, address string) {
	t.Helper()
	eventually(t, address+" is served", func() bool {
		w.open(address)
		w.at(address)
		return w.evaluate(pageStatus) == "200"
	})
}

// beginUpload sends four megabytes, as a stream where the browser can, and has the answer in window.uploaded.
const beginUpload = `(() => {
	let asked = false, sent = 0
	const megabyte = new Uint8Array(1 << 20).map((_, i) => i * 31)
	const streams = !new Request("", { method: "POST", body: new ReadableStream(), get duplex() { asked = true; return "half" } }).headers.has("Content-Type") && asked
	const body = streams ? new ReadableStream({ pull(c) { sent++ < 4 ? c.enqueue(megabyte) : c.close() } }) : new Blob(Array(4).fill(megabyte))
	window.uploaded = ""
	fetch("/upload", { method: "POST", body, duplex: "half" }).then(async r => { window.uploaded = r.status + " " + await r.text() }, e => { window.uploaded = String(e) })
	return streams
})()`

// staysSignedIn has one token after another expire.
func (o *office) staysSignedIn(t *testing.T, s *site, first, second window) {
	t.Helper()
	first.open(s.url("website", "/one"))
	first.signIn("alice", passwordOf("alice"))
	first.at(s.url("website", "/one"))
	opened(t, second, s.url("website", "/two"))
	signedIn := len(s.output.String())
	eventually(t, "the upload begins", func() bool {
		t.Logf("the upload is a stream: %s", second.evaluate(beginUpload))
		eventually(t, "it arrives or is answered", func() bool { return len(o.uploading) > 0 || second.evaluate("window.uploaded") != "" })
		return len(o.uploading) > 0
	})
	renewed := func(what string, use func() (served bool)) {
		t.Helper()
		eventually(t, what+" brings another token", func() bool { // again where the IdP was late
			opened(t, first, s.url("website", "/page"))
			old := first.sso()
			expire(t, old)
			served := use()
			sso := first.sso()
			return served && sso != "" && sso != old
		})
		if got := second.evaluate(talk); got != "still there?" {
			t.Errorf("the WebSocket after %s: %s", what, got)
		}
	}
	renewed("a WebSocket", func() bool {
		if got := second.evaluate(openSocket); got != "open" {
			t.Logf("the WebSocket: %s", got)
			return false
		}
		o.sockets.arrived("browser")
		return true
	})
	renewed("a script", func() bool {
		for _, w := range []window{first, second} {
			got := w.evaluate(fmt.Sprintf(`Promise.all([[%q], [%q], [%q], ["/save", "POST"]].map(([url, method]) =>
				fetch(url, { method, credentials: "include", body: method && "by a script" }).then(r => r.status))).then(all => all.join(" "))`,
				s.url("website", "/x"), s.url("billing-api", "/invoices"), s.url("inventory-api", "/items")))
			if strings.Contains(got, "503") {
				return false
			}
			if got != "200 200 200 200" {
				t.Errorf("a script's requests: %s", got)
			}
		}
		return true
	})
	close(o.goOn)
	eventually(t, "the upload is answered", func() bool { return second.evaluate("window.uploaded") != "" })
	megabyte := make([]byte, 1<<20)
	for i := range megabyte {
		megabyte[i] = byte(i * 31)
	}
	if got, want := second.evaluate("window.uploaded"), fmt.Sprintf("200 %d %x <nil> <nil>", 4<<20, sha256.Sum256(bytes.Repeat(megabyte, 4))); got != want {
		t.Errorf("the upload: %s, want %s", got, want)
	}
	tries := 0
	renewed("a navigation", func() bool {
		tries++
		address := s.url("website", fmt.Sprint("/three?", tries)) // which is in no cache
		first.open(address)
		first.at(address)
		return first.evaluate(pageStatus) == "200"
	})
	renewed("a form", func() bool {
		o.taken()
		first.evaluate(sendNote)
		eventually(t, "the form is answered", func() bool {
			return strings.HasPrefix(first.evaluate(`document.readyState + location.pathname`), "complete/save")
		})
		if first.evaluate(pageStatus) == "503" {
			return false
		}
		first.at(s.url("website", "/saved"))
		o.gotNote(t)
		return true
	})
	for _, line := range strings.Split(s.output.String()[signedIn:], "\n") {
		if strings.Contains(line, `"status":401`) || strings.Contains(line, `"status":30`) && !strings.Contains(line, `"status":303`) {
			t.Errorf("somebody was asked who they are: %s", line)
		}
	}
}

// signsOut signs out in the first window: the WebSocket of the second ends.
func (o *office) signsOut(t *testing.T, s *site, first, second window) {
	t.Helper()
	clicked := time.Now()
	first.evaluate(`document.querySelector("#sign-out").click()`)
	first.at(s.url("login", "/logout?done"))
	eventually(t, "the other window sees the end", func() bool { return second.evaluate("window.ended") != "" })
	said := second.evaluate("window.ended")
	how, at, _ := strings.Cut(said, "true ")
	ended, err := strconv.ParseInt(at, 10, 64)
	if err != nil || how != "4401 signed out " {
		t.Fatalf("the other window sees %q", said)
	}
	took := time.UnixMilli(ended).Sub(clicked)
	t.Logf("the WebSocket had ended %v after the click", took)
	if took > unhelped {
		t.Errorf("the WebSocket ended %v after the click", took)
	}
	if told := o.sockets.next("browser"); told != "close 4401 signed out" {
		t.Errorf("the backend of the WebSocket sees %q", told)
	}
	eventually(t, "the record says that the WebSocket came over HTTP/2", func() bool {
		for line := range strings.Lines(s.output.String()) {
			if strings.Contains(line, `"websocket":true`) {
				return strings.Contains(line, `"protocol":"HTTP/2"`) && strings.Contains(line, `"stream_end":"revoked"`)
			}
		}
		return false
	})
}

// The forms of the editor's page, as a person sends them.
const (
	note     = "half an hour's work\n€ \"quoted\" & +"
	sendNote = `(() => {
		const form = document.querySelector("form")
		form.enctype = "application/x-www-form-urlencoded"
		document.querySelector("textarea").value = "half an hour's work\n€ \"quoted\" & +"
		document.querySelector("input[type=file]").remove()
		document.querySelector("#save").click()
	})()`
	sendFile = `(() => {
		document.querySelector("textarea").value = "half an hour's work\n€ \"quoted\" & +"
		const files = new DataTransfer()
		files.items.add(new File([Uint8Array.from({ length: 70000 }, (_, i) => i * 31 & 255)], "ü \"a\".bin"))
		document.querySelector("input[type=file]").files = files.files
		document.querySelector("#save").click()
	})()`
)

// keepsForms sends forms whose session has ended: with the sign-out of another window first, then by an administrator.
func (o *office) keepsForms(t *testing.T, s *site, w window) {
	t.Helper()
	o.taken()
	o.isKept(t, s, w, sendFile, "form with files")
	o.gotFile(t)
	opened(t, w, s.url("website", "/edit"))
	eventually(t, "alice's sessions are revoked", func() bool { // the command fails where it cannot be recorded in time
		_, _, err := s.command("", "session", "revoke", "--user", "alice", "--state", s.state)
		return err == nil
	})
	o.isKept(t, s, w, sendNote, "form (application/x-www-form-urlencoded)")
	o.gotNote(t)
}

// sendsAgain signs out at the login host, after which nobody knows whose the forms of the other window are: their page says how to
// send them again.
func (o *office) sendsAgain(t *testing.T, s *site, first, second window) {
	t.Helper()
	opened(t, second, s.url("website", "/edit"))
	first.open(s.url("login", "/logout"))
	first.evaluate(`document.querySelector("form button").click()`)
	first.at(s.url("login", "/logout?done"))
	second.evaluate(sendNote)
	second.at(s.url("website", "/save?draft=(1)"))
	if text := second.evaluate("document.body.innerText"); !strings.Contains(text, "reload this page: your browser sends it again") {
		t.Errorf("the page says %q", text)
	}
	onPhone(second)
	first.open(s.url("website", "/four"))
	first.signIn("alice", passwordOf("alice"))
	first.at(s.url("website", "/four"))
	second.sendAgain()
	second.at(s.url("website", "/saved"))
	o.gotNote(t)
}

// isKept sends a form of nobody, signs in, and presses the button.
func (o *office) isKept(t *testing.T, s *site, w window, send, kind string) {
	t.Helper()
	w.evaluate(send)
	w.at(s.url("website", "/save?draft=(1)"))
	if text := w.evaluate("document.body.innerText"); !strings.Contains(text, "kept for ten minutes") {
		t.Fatalf("the page says %q", text)
	}
	onPhone(w)
	w.evaluate(`document.querySelector("a.action").click()`)
	w.signIn("alice", passwordOf("alice"))
	eventually(t, "the page that asks", func() bool { return w.evaluate(`!!document.querySelector("form button.action")`) == "true" })
	if text := w.evaluate("document.body.innerText"); !strings.Contains(text, s.authority("website")+"/save") || !strings.Contains(text, kind) || strings.Contains(text, "work") {
		t.Errorf("the page says %q", text)
	}
	onPhone(w)
	if sent := o.taken(); len(sent) != 0 {
		t.Errorf("the backend has %d forms before the button was pressed", len(sent))
	}
	w.evaluate(`document.querySelector("form button.action").click()`)
	w.at(s.url("website", "/saved"))
}

// onPhone asserts that the page is no wider than a small screen, where the browser can have one.
func onPhone(w window) {
	if b, ok := w.(*tab); ok {
		b.onPhone()
	}
}

// gotNote asserts that the backend got the form without a file, byte for byte, once.
func (o *office) gotNote(t *testing.T) {
	t.Helper()
	sent := o.taken()
	if len(sent) != 1 || sent[0].contentType != "application/x-www-form-urlencoded" ||
		string(sent[0].body) != "note=half+an+hour%27s+work%0D%0A%E2%82%AC+%22quoted%22+%26+%2B" {
		t.Errorf("the backend got %q", sent)
	}
}

// gotFile asserts that the backend got the form with the file, byte for byte, once.
func (o *office) gotFile(t *testing.T) {
	t.Helper()
	sent := o.taken()
	if len(sent) != 1 {
		t.Fatalf("the backend got %d forms", len(sent))
	}
	_, parameters, err := mime.ParseMediaType(sent[0].contentType)
	if err != nil {
		t.Fatal(err)
	}
	form, err := multipart.NewReader(bytes.NewReader(sent[0].body), parameters["boundary"]).ReadForm(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if got := form.Value["note"]; len(got) != 1 || got[0] != strings.ReplaceAll(note, "\n", "\r\n") {
		t.Errorf("the note is %q", got)
	}
	file, err := form.File["f"][0].Open()
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(file)
	if err != nil || len(data) != 70000 {
		t.Fatalf("a file of %d bytes, %v", len(data), err)
	}
	for i, c := range data {
		if c != byte(i*31) {
			t.Fatalf("byte %d is %d", i, c)
		}
	}
}

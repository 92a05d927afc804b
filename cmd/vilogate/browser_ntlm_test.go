package main_test

import (
	"context"
	"encoding/base64"
	byteorder "encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/chromedp/chromedp"
)

// ntlmChallenge is a message of the second of NTLM's three types ([MS-NLMP], section 2.2.1.2).
func ntlmChallenge() string {
	le := byteorder.LittleEndian
	message := append([]byte("NTLMSSP\x00"), 2, 0, 0, 0)
	name := []byte{'D', 0} // of the domain, in UTF-16
	info := []byte{0, 0, 0, 0}
	const header = 56
	field := func(length, offset int) {
		message = le.AppendUint32(le.AppendUint16(le.AppendUint16(message, uint16(length)), uint16(length)), uint32(offset))
	}
	field(len(name), header)
	message = le.AppendUint32(message, 0xa0898205) // with Unicode, target info and extended session security
	message = append(message, "12345678\x00\x00\x00\x00\x00\x00\x00\x00"...)
	field(len(info), header+len(name))
	message = append(message, 10, 0, 0, 0, 0, 0, 0, 15) // the version of Windows
	return base64.StdEncoding.EncodeToString(append(append(message, name...), info...))
}

// ntlmUser is who a message of the third type is of; false for one of another type.
func ntlmUser(message []byte) (string, bool) {
	le := byteorder.LittleEndian
	if len(message) < 44 || le.Uint32(message[8:]) != 3 {
		return "", false
	}
	length, offset := int(le.Uint16(message[36:])), int(le.Uint32(message[40:]))
	if offset+length > len(message) {
		return "", false
	}
	var name []uint16
	for i := offset; i+1 < offset+length; i += 2 {
		name = append(name, le.Uint16(message[i:]))
	}
	return string(utf16.Decode(name)), true
}

// TestBrowserLogsInAConnection: Chromium, challenged over HTTP/2, goes over to HTTP/1.1 and logs in by NTLM.
func TestBrowserLogsInAConnection(t *testing.T) {
	t.Parallel()
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user := r.Context().Value(ntlmKey{}).(*string)
		credentials, _ := strings.CutPrefix(r.Header.Get("Authorization"), "NTLM ")
		message, err := base64.StdEncoding.DecodeString(credentials)
		if name, ok := ntlmUser(message); ok && err == nil {
			*user = name
		}
		if *user == "" {
			w.Header().Set("WWW-Authenticate", strings.TrimSpace("NTLM "+map[bool]string{true: ntlmChallenge()}[len(message) > 0]))
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><title>page</title><p id="user">%s</p>`, *user)
	}))
	backend.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, ntlmKey{}, new(string))
	}
	backend.Start()
	t.Cleanup(backend.Close)
	s := (&application{Server: backend}).site(t, map[string]string{"policies/app.yaml": `
host: app.viloforge.localhost
upstream: app
routes: [ { path: "/*rest", allow: public, connection_auth: allow } ]
`})
	b := browse(t, s).tab()
	first := strings.Replace(s.url("app", "/first"), "https://", "https://alice:secret@", 1)
	// Chromium does not always go on from the 421 that its credentials meet over HTTP/2, and shows a page that offers to try again.
	if err := chromedp.Do(b.ctx, chromedp.Navigate(first)); err != nil {
		if !strings.Contains(err.Error(), "net::ERR_UNEXPECTED") {
			t.Fatal(err)
		}
		b.open(first)
	}
	if got := b.evaluate(`document.querySelector("#user").textContent`); got != "alice" {
		t.Errorf("after the login the backend knows %q", got)
	}
	b.open(s.url("app", "/second"))
	eventually(t, "on the next page the backend knows alice over HTTP/1.1", func() bool {
		return b.evaluate(`document.querySelector("#user").textContent + " over " + performance.getEntriesByType("navigation")[0].nextHopProtocol`) == "alice over http/1.1"
	})
	if got := s.client().get(s.url("app", "/")); got.status != http.StatusUnauthorized || !strings.Contains(got.body, `id="user"></p>`) {
		t.Errorf("a stranger: %v", got)
	}
}

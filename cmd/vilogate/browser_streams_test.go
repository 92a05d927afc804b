package main_test

import "testing"

// TestBrowserSeesWhyAWebSocketEnds: a page is told by the code of the CloseEvent that its visitor has signed out, in another tab.
func TestBrowserSeesWhyAWebSocketEnds(t *testing.T) {
	t.Parallel()
	backend := newLongBackend(t)
	s := (&application{Server: backend.Server}).site(t, map[string]string{
		"policies/app.yaml": "host: app.viloforge.localhost\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated, websocket: true } ]\n",
	})
	page := s.url("app", "/page")
	b := browse(t, s)
	tab, other := b.tab(), b.tab()
	tab.open(page)
	tab.signIn("alice", passwordOf("alice"))
	tab.at(page)
	tab.evaluate(`(() => {
		window.said = "connecting"
		const socket = new WebSocket("wss://" + location.host + "/socket?browser")
		socket.onopen = () => { window.said = "open"; socket.send("hello") }
		socket.onmessage = e => { window.said = "echoed" }
		socket.onclose = e => { window.said = [e.code, e.reason, e.wasClean].join(" ") }
	})()`)
	eventually(t, "the WebSocket is open", func() bool { return tab.evaluate("window.said") == "echoed" })
	other.open(page)
	if got := other.fetch(s.url("app", "/.vilogate/logout"), `{ method: "POST" }`); got != "204   id" {
		t.Errorf("signing out: %s", got)
	}
	eventually(t, "the page sees the end", func() bool { return tab.evaluate("window.said") != "echoed" })
	if got := tab.evaluate("window.said"); got != "4401 signed out true" {
		t.Errorf("the page sees %q", got)
	}
	backend.arrived("browser")
	if told := backend.next("browser"); told != "close 4401 signed out" {
		t.Errorf("the backend sees %q", told)
	}
}

package main_test

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestWebSocketsOfPrograms: messages of 16 MB, compressed and not, between programs that speak all of the protocol, and of a browser over
// HTTP/2.
func TestWebSocketsOfPrograms(t *testing.T) {
	t.Parallel()
	script, err := filepath.Abs(filepath.Join("testdata", "python", "websocket.py"))
	if err != nil {
		t.Fatal(err)
	}
	python := program(t, "/usr/bin/python3", "python3-websockets")
	server := launch(t, t.TempDir(), []string{"PATH=/usr/bin:/bin"}, python, script, "server")
	port := 0
	eventually(t, "the server listens", func() bool {
		_, err := fmt.Sscanf(server.output.String(), "port %d", &port)
		return err == nil || !server.running()
	})
	backend := fmt.Sprintf("http://127.0.0.1:%d", port)

	p := newProgramsOf(t, backend, `  - { path: /socket, allow: authenticated, bearer: only, websocket: true }`)
	said := p.must("", python, "python3-websockets", script, "client", p.at.HTTPS, p.at.CA, p.token, "wss://app.viloforge.test/socket")
	if said != "extensions 1\nextensions 0\nrefused 401\n" {
		t.Errorf("the client says %q", said)
	}
	eventually(t, "the server has been told how they end", func() bool {
		return strings.Contains(server.output.String(), "closed 4321 enough 1\nclosed 4321 enough 0\n")
	})

	s := (&application{Server: &httptest.Server{URL: backend}}).site(t, map[string]string{"policies/website.yaml": "host: website.viloforge.localhost\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public, websocket: true } ]\n"})
	tab := browse(t, s).tab()
	tab.open(s.url("website", "/page"))
	got := tab.evaluate(`new Promise(done => {
		const size = 16 << 20, bytes = new Uint8Array(1 << 20).map((_, i) => i * i >> 7), sent = [bytes, "x".repeat(size), "", "€"]
		const socket = new WebSocket("wss://" + location.host + "/socket")
		socket.binaryType = "arraybuffer"
		let next = 0
		const same = (a, b) => typeof b == "string" ? a === b : a.byteLength == b.length && new Uint8Array(a).every((x, i) => x == b[i])
		socket.onopen = () => sent.forEach(message => socket.send(message))
		socket.onmessage = e => {
			if (!same(e.data, sent[next])) done("another message " + next)
			if (++next == sent.length) { socket.close(4321, "enough") }
		}
		socket.onclose = e => done([next, e.code, e.reason, e.wasClean, socket.extensions].join(" "))
	})`)
	if !strings.HasPrefix(got, "4 4321 enough true permessage-deflate") {
		t.Errorf("the browser says %q", got)
	}
	eventually(t, "the record says that it came over HTTP/2", func() bool {
		for line := range strings.Lines(s.output.String()) {
			if strings.Contains(line, `"websocket":true`) {
				return strings.Contains(line, `"protocol":"HTTP/2"`)
			}
		}
		return false
	})
}

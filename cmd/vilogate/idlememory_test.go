package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestIdleConnectionsAreSmall: what an open connection takes of the process's memory while nothing passes, with the gateway's end of
// its connection to the backend. The collector runs often here, so that what is resident is what is in use.
func TestIdleConnectionsAreSmall(t *testing.T) {
	backend := switchingBackend(t)
	s := prepare(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("\nlimits: { client_requests: 1000 }\nupstreams: { app: { url: %q } }\n", "http://"+backend),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public, websocket: true } ]\n",
	})
	s.program, s.more = commandBinary, []string{"GOGC=10"} // the race detector takes ten times as much
	s.start()
	const count = 400
	var tunnels *h2conn // of 200 each
	opened := 0
	for _, kind := range []struct {
		name  string
		most  int64 // bytes each
		first func()
	}{
		{"WebSocket", 40 << 10, func() { s.openWebSocket(t, "app.viloforge.test") }},
		{"WebSocket over HTTP/2", 40 << 10, func() {
			if opened%200 == 0 {
				tunnels = s.h2(t, "app.viloforge.test")
			}
			opened++
			if got, tunnel := tunnels.begin(request{host: "app.viloforge.test", target: "/ws"}.handshake()); tunnel == nil {
				t.Fatalf("got %v", got)
			}
		}},
		{"HTTP/1.1", 26 << 10, func() {
			conn := s.handshake(t, s.tls("app.viloforge.test", "http/1.1"))
			s.mustWrite(t, conn, "GET /x HTTP/1.1\r\nHost: app.viloforge.test\r\n\r\n")
			if got := readAnswer(t, bufio.NewReader(conn), http.MethodGet); got.status != http.StatusOK {
				t.Fatalf("got %v", got)
			}
		}},
		{"HTTP/2", 24 << 10, func() {
			if got := s.h2(t, "app.viloforge.test").exchange(request{host: "app.viloforge.test", target: "/x"}.fields(), ""); got.status != http.StatusOK {
				t.Fatalf("got %v", got)
			}
		}},
	} {
		for range 20 {
			kind.first()
		}
		before := s.resident(t)
		for range count {
			kind.first()
		}
		each := (s.resident(t) - before) / count
		t.Logf("%s: %d KiB each", kind.name, each>>10)
		if each > kind.most {
			t.Errorf("%s: an idle connection takes %d bytes, of %d", kind.name, each, kind.most)
		}
	}
}

// resident is what the process has of memory, in bytes.
func (p *process) resident(t *testing.T) (bytes int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	if _, err := fmt.Sscan(line, &bytes); err != nil {
		t.Fatalf("%s: %v", status, err)
	}
	return bytes << 10
}

// openWebSocket opens a WebSocket, which stays open.
func (s *site) openWebSocket(t *testing.T, host string) {
	t.Helper()
	conn := s.handshake(t, s.tls(host, "http/1.1"))
	s.mustWrite(t, conn, "GET /ws HTTP/1.1\r\nHost: "+host+"\r\nOrigin: https://"+host+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if got := readAnswer(t, bufio.NewReaderSize(conn, 16), http.MethodGet); got.status != http.StatusSwitchingProtocols {
		t.Fatalf("got %v", got)
	}
}

func (s *site) mustWrite(t *testing.T, to io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
}

// switchingBackend is a backend that switches to WebSocket when it is asked to, and says nothing then.
func switchingBackend(t *testing.T) (address string) {
	t.Helper()
	listener := listenLoopback(t)
	t.Cleanup(func() { closeQuietly(t, listener) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { closeQuietly(t, conn) })
			go switchWhereAsked(conn)
		}
	}()
	return listener.Addr().String()
}

func switchWhereAsked(conn net.Conn) {
	reader := bufio.NewReaderSize(conn, 4<<10)
	for {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		answer := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
		if r.Header.Get("Upgrade") != "" {
			answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + webSocketAccept(r.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// newTLSBackend hands each request on a connection of TLS to a function, which may end it below TLS too; false closes it.
func newTLSBackend(t *testing.T, answer func(conn *tls.Conn, r *http.Request) bool) Key {
	t.Helper()
	made := httptest.NewUnstartedServer(http.NotFoundHandler()) // for its certificate
	made.StartTLS()
	made.Close()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", made.TLS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				for reader := bufio.NewReader(conn); ; {
					r, err := http.ReadRequest(reader)
					if err != nil || !answer(conn.(*tls.Conn), r) {
						break
					}
				}
				_ = conn.Close()
			}()
		}
	}()
	roots := made.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	return Key{Address: listener.Addr().String(), TLS: &tls.Config{ServerName: "example.com", RootCAs: roots, MinVersion: tls.VersionTLS12}, IdleTimeout: time.Minute}
}

func sendTo(t *testing.T, p *Pool, key Key) *Exchange {
	t.Helper()
	x, err := p.Send(context.Background(), key, limit, get())
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestAnAnswerThatIsCutOffInTLSIsNoWholeOne: one that the connection's end alone ends has a closure alert before it.
func TestAnAnswerThatIsCutOffInTLSIsNoWholeOne(t *testing.T) {
	for _, alert := range []bool{true, false} {
		key := newTLSBackend(t, func(conn *tls.Conn, _ *http.Request) bool {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart")
			if !alert {
				_ = conn.NetConn().Close()
			}
			return false
		})
		body, err := readAll(sendTo(t, NewPool(1, 1), key))
		if body != "part" || alert != (err == nil) {
			t.Errorf("with a closure alert %v: %q, %v", alert, body, err)
		}
	}
}

// TestAKeptConnectionOfTLSIsQuiet, also in what TLS has read already: what nobody asked for is no answer to the next request.
func TestAKeptConnectionOfTLSIsQuiet(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for name, unasked := range map[string]func(conn *tls.Conn){
		"nothing":           func(*tls.Conn) {},
		"in another record": func(conn *tls.Conn) { _, _ = io.WriteString(conn, answer) },
	} {
		connections := make(chan string, 4)
		key := newTLSBackend(t, func(conn *tls.Conn, _ *http.Request) bool {
			connections <- conn.RemoteAddr().String()
			// One segment, so that TLS reads both records at once.
			_, _ = io.WriteString(conn, answer)
			unasked(conn)
			return true
		})
		p := NewPool(2, 2)
		p.Add(key)
		for range 2 {
			x := sendTo(t, p, key)
			if body, err := readAll(x); body != "ok" || err != nil {
				t.Errorf("%s: %q, %v", name, body, err)
			}
			if name != "nothing" {
				eventually(t, "it has come", func() bool {
					c := p.last(key)
					if c == nil {
						return true
					}
					quiet := c.isReusable()
					p.put(key, c)
					return !quiet
				})
			}
		}
		first, second := <-connections, <-connections
		if same := first == second; same != (name == "nothing") {
			t.Errorf("%s: the connection was used again: %v", name, same)
		}
		p.Close()
	}
}

// TestAPauseIsToldInTLS: before each read that waits, and never with something at hand.
func TestAPauseIsToldInTLS(t *testing.T) {
	goOn := make(chan bool)
	key := newTLSBackend(t, func(conn *tls.Conn, _ *http.Request) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
		<-goOn
		_, _ = io.WriteString(conn, "def")
		return true
	})
	p := NewPool(1, 1)
	defer p.Close()
	x := sendTo(t, p, key)
	var body strings.Builder
	for told := false; ; {
		piece, err := x.Next(func() {
			if !told && body.String() == "abc" {
				told = true
				goOn <- true
			}
		})
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body.Write(piece)
	}
	x.Close()
	if body.String() != "abcdef" {
		t.Errorf("%q", body.String())
	}
}

// TestAHandshakeTakesNoLongerThanADial may.
func TestAHandshakeTakesNoLongerThanADial(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // which says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, err = NewPool(1, 1).Send(context.Background(), Key{Address: listener.Addr().String(), TLS: &tls.Config{ServerName: "h", MinVersion: tls.VersionTLS12}}, 50*time.Millisecond, get())
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" || !op.Timeout() {
		t.Errorf("%v, want a dial that took too long", err)
	}
}

// TestATunnelOverTLS: both sides end by themselves, as over TCP.
func TestATunnelOverTLS(t *testing.T) {
	key := newTLSBackend(t, func(conn *tls.Conn, _ *http.Request) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ")
		said, _ := io.ReadAll(conn)
		_, _ = conn.Write(said)
		return false
	})
	p := NewPool(1, 1)
	defer p.Close()
	x, err := p.Send(context.Background(), key, limit, &Request{Head: []byte("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"), Upgrade: "echo"})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	tunnel := x.Tunnel()
	if _, err := io.WriteString(tunnel, "world"); err != nil {
		t.Fatal(err)
	}
	if err := tunnel.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(tunnel); string(said) != "hello world" || err != nil {
		t.Errorf("%q, %v", said, err)
	}
}

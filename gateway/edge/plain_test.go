package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestPlainHTTPByItsFirstBytes: a connection speaks HTTP/1.1, or HTTP/2 where it begins with that, also when its first bytes come one
// by one; and it ends with the server.
func TestPlainHTTPByItsFirstBytes(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewPlain(PlainOptions{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s by %s", r.Method, r.Proto) }),
		Listeners: []net.Listener{l}, Log: slog.New(slog.DiscardHandler),
		Limits: Limits{HeaderBytes: 4 << 10, HeaderTime: 10 * time.Second, IdleTime: time.Minute, Streams: 10, Connections: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	for _, h2 := range []bool{false, true} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(!h2)
		transport.Protocols.SetUnencryptedHTTP2(h2)
		for _, method := range []string{"GET", "PUT", "PROPFIND"} {
			r, err := http.NewRequest(method, "http://"+l.Addr().String()+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			if err := answer.Body.Close(); err != nil {
				t.Error(err)
			}
			want := method + " by HTTP/1.1"
			if h2 {
				want = method + " by HTTP/2.0"
			}
			if err != nil || string(body) != want {
				t.Errorf("%q, %v", body, err)
			}
		}
		transport.CloseIdleConnections()
	}
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []byte("PRI / HTTP/1.1\r\nHost: x\r\n\r\n") { // which HTTP/2 refuses
		if _, err := conn.Write([]byte{b}); err != nil {
			break
		}
	}
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
		t.Error("PRI is a method")
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Drain(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

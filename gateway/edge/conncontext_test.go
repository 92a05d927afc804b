package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"time"
)

type connKey struct{}

// TestTheEndOfAConnectionIsTold once, where it is closed from either side and where it speaks HTTP no longer; and its requests
// have what Options.ConnContext gave it. HTTP/2 has nothing of it.
func TestTheEndOfAConnectionIsTold(t *testing.T) {
	t.Parallel()
	seen, ended := make(chan any, 1), make(chan int, 8)
	number := 0 // of the connection; net/http accepts them one after another
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Context().Value(connKey{})
		switch r.URL.Path {
		case "/close":
			w.Header().Set("Connection", "close")
		case "/upgrade":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
	}, func(o *Options) {
		o.ConnContext = func(ctx context.Context) (context.Context, func()) {
			number++
			mine := number
			return context.WithValue(ctx, connKey{}, mine), func() { ended <- mine }
		}
	})
	for i, path := range []string{"/", "/close", "/upgrade"} {
		conn, err := tls.Dial("tcp", s.opts.HTTPS[0].Addr().String(), s.tls("http/1.1"))
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(longest)); err != nil {
			t.Fatal(err)
		}
		send(t, conn, "GET "+path+" HTTP/1.1\r\nHost: www."+domain+"\r\nUpgrade: x\r\n\r\n")
		if got := <-seen; got != i+1 {
			t.Errorf("%s: the request of connection %d has %v", path, i+1, got)
		}
		if path == "/" { // the client closes it
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
				t.Error(err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		}
		if got := <-ended; got != i+1 {
			t.Errorf("%s: connection %d ended, instead of %d", path, got, i+1)
		}
		if path != "/" {
			if err := conn.Close(); err != nil {
				t.Log(err)
			}
		}
	}
	response, err := s.client("h2").Get("https://www." + domain + "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if got := <-seen; got != nil || response.ProtoMajor != 2 {
		t.Errorf("%s has %v", response.Proto, got)
	}
	select {
	case got := <-ended:
		t.Errorf("connection %d ended twice", got)
	default:
	}
}

package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// TestDrain: new connections are served for the delay, those of HTTP/1 are closed
// after an answer and those of HTTP/2 told to go away, and what is under way ends.
func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		arrived, finish := make(chan struct{}), make(chan struct{})
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				arrived <- struct{}{}
				<-finish
			}
		}, nil)
		idle := s.dial("http/1.1")
		const head = "HEAD / HTTP/1.1\r\nHost: www." + domain + "\r\n\r\n"
		ask := func(conn io.ReadWriter) *http.Response {
			t.Helper()
			send(t, conn, head)
			response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodHead})
			if err != nil {
				t.Fatal(err)
			}
			return response
		}
		if ask(idle).Close {
			t.Error("closed before there was a reason")
		}
		slow := s.dial("http/1.1")
		send(t, slow, "GET / HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
		<-arrived
		f := s.frames()
		f.request(1, "GET", true)
		<-arrived

		drained := make(chan error, 1)
		go func() { drained <- s.Drain(t.Context(), time.Second, 20*time.Second) }()
		eventually(t, "an answer says that its connection ends", func() bool { return ask(s.dial("http/1.1")).Close })
		closes(t, idle)
		eventually(t, "no new connections", func() bool {
			conn, err := connect(t.Context(), s.opts.HTTPS[0])
			return err != nil || conn.Close() != nil
		})
		for {
			if _, ok := f.read().(*http2.GoAwayFrame); ok {
				break
			}
		}
		select {
		case err := <-drained:
			t.Fatalf("drained while requests were under way: %v", err)
		default:
		}
		close(finish)
		response, err := http.ReadResponse(bufio.NewReader(slow), nil)
		if err != nil || response.StatusCode != http.StatusOK || !response.Close {
			t.Errorf("what was under way over HTTP/1.1: %v %v", response, err)
		}
		answered := false
		for _, frame := range f.rest() {
			if h, ok := frame.(*http2.HeadersFrame); ok && h.StreamID == 1 {
				answered = true
			}
		}
		if !answered {
			t.Error("what was under way over HTTP/2 was not answered")
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// TestDrainDoesNotWaitForEver: what does not end is cut off, and the error says so.
func TestDrainDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		arrived, finish := make(chan struct{}), make(chan struct{})
		s := startInMemory(t, func(_ http.ResponseWriter, r *http.Request) {
			arrived <- struct{}{}
			<-r.Context().Done()
			close(finish)
		}, nil)
		conn := s.dial("http/1.1")
		send(t, conn, "GET / HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
		<-arrived
		if err := s.Drain(t.Context(), 0, 50*time.Millisecond); err == nil {
			t.Error("no error")
		}
		closes(t, conn)
		<-finish
	})
}

// TestDrainServesWhoWasLetIn: a connection that was accepted, and has sent nothing yet when the accepting ends, has its handshake
// and one request. One that stays silent is not waited for.
func TestDrainServesWhoWasLetIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, func(http.ResponseWriter, *http.Request) {}, nil)
		var raw []net.Conn
		for range 2 {
			c, err := connect(t.Context(), s.opts.HTTPS[0])
			if err != nil {
				t.Fatal(err)
			}
			raw = append(raw, c)
		}
		silent, err := connect(t.Context(), s.opts.HTTPS[0])
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until they are accepted
		began := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- s.Drain(t.Context(), 0, 20*time.Second) }()
		synctest.Wait()
		for _, c := range raw {
			conn := tls.Client(c, s.tls("http/1.1"))
			send(t, conn, "GET / HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != http.StatusOK || !response.Close {
				t.Errorf("answered %v, %v", response, err)
			}
			if err := conn.Close(); err != nil {
				t.Log(err)
			}
		}
		if err := <-drained; err != nil || time.Since(began) > handshakeGrace+time.Second {
			t.Errorf("drained after %v: %v", time.Since(began), err)
		}
		closes(t, silent)
	})
}

// TestDrainEndsNothingBeforeItsTime: a request that was under way is not ended because nothing had lasted long when the drain began.
func TestDrainEndsNothingBeforeItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		arrived, finish := make(chan struct{}), make(chan struct{})
		var once sync.Once
		s := startInMemory(t, func(http.ResponseWriter, *http.Request) {
			close(arrived)
			<-finish
		}, func(o *Options) { o.Drain = func(context.Context) { once.Do(func() { close(finish) }) } })
		conn := s.dial("http/1.1")
		send(t, conn, "GET / HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
		<-arrived
		began := time.Now()
		if err := s.Drain(t.Context(), 0, 20*time.Second); err == nil || time.Since(began) < 20*time.Second {
			t.Errorf("ended after %v: %v", time.Since(began), err)
		}
	})
}

package server

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/conntest"
	"github.com/viloforge/vilogate/gateway/internal/requestcontext"
)

// A body that is read away behind the handler has one reader.
func TestNobodyReadsBehindTheHandler(t *testing.T) {
	var left io.Reader
	serve(t, func(w http.ResponseWriter, r *http.Request) { left = r.Body }, func(s *site) {
		p := s.dial()
		p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
		p.read("POST")
		body := left
		read := make(chan int)
		go func() {
			n, _ := body.Read(make([]byte, 10))
			read <- n
		}()
		synctest.Wait()
		p.send("67890")
		if n := <-read; n > 0 {
			t.Errorf("read %d bytes of what was read away", n)
		}
		p.send(get)
		if answer, _ := p.read("GET"); answer.StatusCode != http.StatusOK {
			t.Errorf("answered %s", answer.Status)
		}
		_ = p.Close()
	})
}

// The watch for a client that leaves begins behind a body before anybody can see that the body has ended: else it could begin
// in the middle of the next one.

func TestABodyHasEndedWhenTheWatchKnows(t *testing.T) {
	client, conn := conntest.Pipe()
	c := newConn(&shared{opts: Options{Limits: testLimits}}, conn, nil)
	c.head.Length = 2
	b := c.body()
	c.watch.begin(&requestcontext.Context{Base: context.Background()}, true)
	if _, err := io.WriteString(client, "ok"); err != nil {
		t.Fatal(err)
	}
	c.watch.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.ReadAll(b)
	}()
	for range 100_000 {
		runtime.Gosched()
		if b.ended() {
			t.Error("the body has ended, and the watch does not know")
			break
		}
	}
	c.watch.mu.Unlock()
	<-done
	c.watch.end()
}

func TestWhatIsLeftOfABody(t *testing.T) {
	for _, c := range []struct {
		name, head, first string
		answer            http.HandlerFunc
		keeps             bool
	}{
		{"nothing was read", "Content-Length: 10", "12345", func(http.ResponseWriter, *http.Request) {}, true},
		{"nothing was read, and it was closed", "Content-Length: 10", "12345", func(_ http.ResponseWriter, r *http.Request) { _ = r.Body.Close() }, true},
		{"all was read", "Content-Length: 10", "1234567890", echo, true},
		{"all of a chunked body was read", "Transfer-Encoding: chunked", "3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n", echo, true},
		{"some was read", "Content-Length: 10", "12345", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 3))
		}, false},
		{"too much is left", "Content-Length: 262145", "12345", func(http.ResponseWriter, *http.Request) {}, false},
		{"nobody knows how much is left", "Transfer-Encoding: chunked", "3\r\nabc\r\n", func(http.ResponseWriter, *http.Request) {}, false},
		{"it was asked to be waited for", "Content-Length: 10\r\nExpect: 100-continue", "", func(http.ResponseWriter, *http.Request) {}, false},
		{"it was aborted", "Content-Length: 10", "12345", func(_ http.ResponseWriter, r *http.Request) {
			_ = r.Body.(interface{ Abort() error }).Abort()
		}, false},
		{"a chunk is malformed", "Transfer-Encoding: chunked", "3\r\nabcd\r\n0\r\n\r\n", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
		}, false},
		{"a chunk's line ends in a bare line feed", "Transfer-Encoding: chunked", "3\nabc\r\n0\r\n\r\n", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			served := 0
			handler := func(w http.ResponseWriter, r *http.Request) {
				if served++; r.Method == "POST" {
					c.answer(w, r)
				}
			}
			serve(t, handler, func(s *site) {
				p := s.dial()
				p.send("POST / HTTP/1.1\r\nHost: a\r\n" + c.head + "\r\n\r\n" + c.first)
				answer, _ := p.read("POST")
				if answer.Close == c.keeps {
					t.Fatalf("the answer says that the connection ends: %v", answer.Close)
				}
				if c.keeps && len(c.first) == len("12345") {
					p.send("67890")
				}
				p.send(get)
				if c.keeps {
					p.read("GET")
				} else if rest := p.rest(); rest != "" || served != 1 {
					t.Errorf("%d requests were served, and %q followed", served, rest)
				}
				_ = p.Close()
				<-p.served
			})
		})
	}
}

func TestExpect(t *testing.T) {
	const expecting = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
	t.Run("100 when the body is read", func(t *testing.T) {
		serve(t, echo, func(s *site) {
			p := s.dial()
			p.send(expecting)
			if answer, err := http.ReadResponse(p.answer, nil); err != nil || answer.StatusCode != http.StatusContinue {
				t.Fatalf("answered %v, %v", answer, err)
			}
			p.send("ok" + get)
			if _, body := p.read("POST"); body != "POST / ok" {
				t.Errorf("answered %q", body)
			}
			if _, body := p.read("GET"); body != "GET / " {
				t.Errorf("answered %q", body)
			}
			_ = p.Close()
		})
	})
	t.Run("none to HTTP/1.0", func(t *testing.T) {
		serve(t, echo, func(s *site) {
			got := s.ask(strings.Replace(expecting, "HTTP/1.1", "HTTP/1.0", 1) + "ok")
			if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") {
				t.Errorf("answered %q", got)
			}
		})
	})
	t.Run("none behind the answer's head", func(t *testing.T) {
		serve(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			echo(w, r)
		}, func(s *site) {
			if got := s.ask(expecting + "ok"); strings.Contains(got, "100 Continue") || !strings.Contains(got, "POST / ok") {
				t.Errorf("answered %q", got)
			}
		})
	})
}

// A byte that the watch has read is the next request's first, however the bytes arrive.
func TestWatchLosesNoByte(t *testing.T) {
	var gone atomic.Bool
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case <-time.After(3 * watchDelay):
		case <-r.Context().Done():
			gone.Store(true)
		}
		_, _ = io.WriteString(w, r.RequestURI+string(body))
	}
	next := "POST /next HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
	serve(t, handler, func(s *site) {
		for at := range len(next) {
			for _, wait := range []time.Duration{0, watchDelay, 2 * watchDelay, 3 * watchDelay} {
				p := s.dial()
				p.send("POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nxy")
				<-time.After(wait)
				p.send(next[:at])
				<-time.After(3 * watchDelay)
				p.send(next[at:])
				if _, body := p.read("POST"); body != "/firstxy" {
					t.Fatalf("answered %q", body)
				}
				if _, body := p.read("POST"); body != "/nextabc" {
					t.Fatalf("answered %q to what came in two parts, the first of %d bytes", body, at)
				}
				_ = p.Close()
				<-p.served
			}
		}
		if gone.Load() {
			t.Error("a client was thought to have gone")
		}
		p := s.dial()
		p.send(get)
		_ = p.Close()
		<-p.served
		if !gone.Load() {
			t.Error("a client that had gone was not noticed")
		}
	})
}

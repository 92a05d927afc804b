package server

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestShutdownAnswersWhatHasArrived(t *testing.T) {
	var began, proceed chan struct{}
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI == "/slow" {
			_ = http.NewResponseController(w).Flush() // before the server is shut down: it says nothing of the end
			close(began)
			<-proceed
		}
		_, _ = io.WriteString(w, r.RequestURI)
	}, func(s *site) {
		began, proceed = make(chan struct{}), make(chan struct{})
		p := s.dial()
		p.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		<-began
		done := make(chan error)
		go func() { done <- s.Shutdown(context.Background()) }()
		synctest.Wait()
		close(proceed)
		p.read("GET")
		answer, body := p.read("GET")
		if body != "/next" || !answer.Close {
			t.Errorf("answered %q, and the connection ends: %v", body, answer.Close)
		}
		_ = p.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A connection that has had no request yet when the server shuts down has its first, and so has one that is served afterwards.
func TestShutdownWaitsForTheFirstRequest(t *testing.T) {
	serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) }, func(s *site) {
		before := s.dial()
		synctest.Wait()
		done := make(chan error)
		go func() { done <- s.Shutdown(context.Background()) }()
		synctest.Wait()
		for _, p := range []*peer{before, s.dial()} {
			p.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
			if answer, body := p.read("GET"); body != "/first" || !answer.Close {
				t.Errorf("answered %q, and the connection ends: %v", body, answer.Close)
			}
			_ = p.Close()
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownDoesNotWaitForWhatWasTakenOver(t *testing.T) {
	var proceed chan struct{}
	serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		<-proceed
		_, _ = io.WriteString(conn, "still there")
		_ = conn.Close()
	}, func(s *site) {
		proceed = make(chan struct{})
		p := s.dial()
		p.send(get)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		close(proceed)
		if got := p.rest(); got != "still there" {
			t.Errorf("read %q", got)
		}
	})
}

func TestHijackHasAllThatWasRead(t *testing.T) {
	rest := strings.Repeat("0123456789", 2000)
	serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		first := make([]byte, buffered.Reader.Buffered())
		_, _ = io.ReadFull(buffered, first)
		others, _ := io.ReadAll(conn)
		if string(first)+string(others) != rest {
			t.Errorf("read %d and %d bytes of %d", len(first), len(others), len(rest))
		}
		_ = conn.Close()
	}, func(s *site) {
		p := s.dial()
		p.send("GET / HTTP/1.1\r\nHost: a\r\nX-Pad: " + strings.Repeat("x", 6000) + "\r\n\r\n" + rest)
		_ = p.CloseWrite()
		<-p.served
	})
}

func TestADeadlineEndsWithItsRequest(t *testing.T) {
	serve(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_, _ = io.WriteString(w, r.RequestURI)
		_ = control.Flush()
		if r.RequestURI == "/first" {
			_ = control.SetReadDeadline(expired)
			_ = control.SetWriteDeadline(time.Now().Add(time.Second))
		}
	}, func(s *site) {
		p := s.dial()
		p.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
		p.read("GET")
		<-time.After(2 * time.Second)
		p.send(get)
		if _, body := p.read("GET"); body != "/" {
			t.Errorf("answered %q", body)
		}
		_ = p.Close()
	})
}

// Old clients send an empty line behind a body (RFC 9112, section 2.2): it begins no request.
func TestAnEmptyLineBeginsNoRequest(t *testing.T) {
	serve(t, echo, func(s *site) {
		p := s.dial()
		p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok\r\n")
		p.read("POST")
		<-time.After(testLimits.HeaderTime + time.Second)
		p.send(get)
		if answer, body := p.read("GET"); answer.StatusCode != http.StatusOK {
			t.Errorf("answered %s %q", answer.Status, body)
		}
		_ = p.Close()
	})
}

func TestPipelinedRequests(t *testing.T) {
	all := "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n" +
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
		"\r\nPOST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\nX-Trailer: y\r\n\r\n" +
		"HEAD /4 HTTP/1.1\r\nHost: a\r\nX-Pad: " + strings.Repeat("p", 5000) + "\r\n\r\n" +
		"GET /5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" +
		"GET /6 HTTP/1.1\r\nHost: a\r\n\r\n"
	check := func(t *testing.T, p *peer) {
		t.Helper()
		for _, want := range []string{"GET /1 ", "POST /2 abc", "POST /3 def", "", "GET /5 "} {
			method, _, _ := strings.Cut(want, " ")
			if method == "" {
				method = "HEAD"
			}
			if _, body := p.read(method); body != want {
				t.Fatalf("answered %q, want %q", body, want)
			}
		}
		if rest := p.rest(); rest != "" {
			t.Fatalf("behind the end of the connection came %q", rest)
		}
		_ = p.Close()
		<-p.served
	}
	t.Run("byte by byte", func(t *testing.T) {
		serve(t, echo, func(s *site) {
			p := s.dial()
			for i := range len(all) {
				p.send(all[i : i+1])
			}
			check(t, p)
		})
	})
	t.Run("in two parts", func(t *testing.T) {
		serve(t, echo, func(s *site) {
			for at := range all {
				if at > 400 && at < len(all)-400 && at%97 != 0 { // of the padding, some
					continue
				}
				p := s.dial()
				p.send(all[:at])
				p.send(all[at:])
				check(t, p)
			}
		})
	})
}

func TestAHeadAtItsLimit(t *testing.T) {
	for _, c := range []struct {
		beyond, status int
	}{{0, 200}, {1, 431}} {
		for _, limit := range []int{100, inputBuffer - 1, inputBuffer, inputBuffer + 1, 4 * inputBuffer, 4*inputBuffer + 1} {
			limits := testLimits
			limits.HeaderBytes = limit
			serveWith(t, Options{Handler: http.HandlerFunc(echo), Limits: limits}, func(s *site) {
				head := "GET / HTTP/1.1\r\nHost: a\r\nX-Pad: "
				head += strings.Repeat("p", limit+c.beyond-len(head)-4) + "\r\n\r\n"
				p := s.dial()
				p.send(head)
				if answer, _ := p.read("GET"); answer.StatusCode != c.status {
					t.Errorf("%d bytes of %d: %s", len(head), limit, answer.Status)
				}
				_ = p.Close()
			})
		}
	}
}

func TestHowLongAConnectionStays(t *testing.T) {
	lasts := func(t *testing.T, text string, want time.Duration) {
		t.Helper()
		serve(t, echo, func(s *site) {
			p := s.dial()
			began := time.Now()
			p.send(text)
			<-p.served
			if took := time.Since(began); took != want {
				t.Errorf("%q: the connection was there for %v, want %v", text, took, want)
			}
		})
	}
	lasts(t, "", testLimits.IdleTime)
	lasts(t, get, testLimits.IdleTime)
	lasts(t, "GET /", testLimits.HeaderTime+lingerTime)
	lasts(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", lingerSilence)
	lasts(t, "\n", lingerTime)
	lasts(t, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n", testLimits.BodyTime+lingerTime)
}

// Nobody delays a shutdown by sending nothing behind an answer.
func TestShutdownDoesNotWaitForTheSilent(t *testing.T) {
	for _, text := range []string{"", "\n", get, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"} {
		serve(t, func(http.ResponseWriter, *http.Request) {}, func(s *site) {
			p := s.dial()
			p.send(text)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Errorf("behind %q: %v", text, err)
			}
			_ = p.Close()
		})
	}
}

package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// Shutdown tells clients, serves what they sent before they saw that, lets streams finish, and closes.
func TestShutdown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		finish := make(chan struct{})
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			<-finish
			says("hello")(w, nil)
		}, nil)
		p, idle := dial(t, s), dial(t, s)
		p.request(1, "GET", true)
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(t.Context()) }()
		if e := p.of(http2.FrameGoAway); e.code != http2.ErrCodeNo || e.last != 1<<31-1 {
			t.Error(e)
		}
		p.request(3, "GET", true) // before the client sees it
		ping := p.of(http2.FramePing)
		p.write(p.WritePing(true, [8]byte([]byte(ping.data))))
		if e := p.of(http2.FrameGoAway); e.code != http2.ErrCodeNo || e.last != 3 {
			t.Error(e)
		}
		p.request(5, "GET", true) // and after that
		began := time.Now()
		idle.of(http2.FrameGoAway)
		if e := idle.goAway(); e.code != http2.ErrCodeNo || e.last != 0 || time.Since(began) > 2*time.Second {
			t.Error(e)
		}
		close(finish)
		bodies := map[uint32]string{} // the two answers come in any order
		for _, e := range p.rest() {
			if e.stream == 5 {
				t.Error(e)
			}
			if e.kind == http2.FrameData {
				bodies[e.stream] += e.data
			}
		}
		if bodies[1] != "hello" || bodies[3] != "hello" {
			t.Error(bodies)
		}
		if err := <-down; err != nil || s.Active() != 0 {
			t.Errorf("%v; %d connections", err, s.Active())
		}
	})
}

func TestShutdownEndsWithItsContextAndCloseEndsAll(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
		p := dial(t, s)
		p.request(1, "GET", true)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || s.Active() != 1 {
			t.Errorf("%v; %d connections", err, s.Active())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-p.served
		if s.Active() != 0 {
			t.Errorf("%d connections", s.Active())
		}
		late := connect(t, s)
		<-late.served
	})
}

// What a client sends when it has been told that the connection ends is not served: it sends it again elsewhere.
func TestNothingIsServedBehindGOAWAY(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, func(http.ResponseWriter, *http.Request) { t.Error("it is served") }, nil))
		if e := p.of(http2.FrameGoAway); e.last != 0 {
			t.Error(e)
		}
		p.quiet = true
		p.request(1, "GET", true)
		p.request(3, "GET", true)
		if all := p.rest(); len(all) > 0 {
			t.Error(all)
		}
	})
}

// The end of the context that a connection is served with ends those of its requests.
func TestTheBaseContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type key struct{}
		base, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			fmt.Fprintf(w, "%v: %v", r.Context().Value(key{}), r.Context().Err())
		}, nil)
		p := connectWith(t, base, s)
		p.begin()
		p.request(1, "GET", true)
		synctest.Wait()
		cancel()
		for _, id := range []uint32{1, 3} {
			if id == 3 {
				p.request(3, "GET", true)
			}
			if got := p.answer(id); got.body != "value: context canceled" {
				t.Errorf("%d: %+v", id, got)
			}
		}
	})
}

// A connection that a client says it is leaving, and one whose answer says "Connection: close".
func TestConnectionsThatEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") }, nil)
		p := dial(t, s)
		p.write(p.WriteGoAway(0, http2.ErrCodeNo, nil))
		if e := p.goAway(); e.code != http2.ErrCodeNo {
			t.Error(e)
		}
		p = dial(t, s)
		p.request(1, "GET", true)
		if got := p.answer(1); got.status() != "200" || got.head.field("connection") != "" {
			t.Errorf("%+v", got)
		}
		p.of(http2.FrameGoAway)
		p.goAway()
	})
}

func TestCipherSuites(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for suite, want := range map[uint16]http2.ErrCode{
			tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA:    http2.ErrCodeInadequateSecurity,
			tls.TLS_RSA_WITH_AES_128_GCM_SHA256:       http2.ErrCodeInadequateSecurity,
			tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: http2.ErrCodeEnhanceYourCalm, // it says nothing
		} {
			p := connect(t, newServer(t, says(""), nil))
			here, there := net.Pipe()
			p.conn, p.Framer = here, http2.NewFramer(here, here)
			go p.listen()
			p.server.ServeConn(t.Context(), there, &tls.ConnectionState{Version: tls.VersionTLS12, CipherSuite: suite})
			if e := p.goAway(); e.code != want {
				t.Errorf("%s: %v", tls.CipherSuiteName(suite), e)
			}
		}
	})
}

// A handler that panics is logged; one that ends its goroutine is not waited for.
func TestHandlersThatFail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log lockedBuffer
		p := dial(t, newServer(t, routes(map[string]http.HandlerFunc{
			"/panic":  func(http.ResponseWriter, *http.Request) { panic("a reason") },
			"/goexit": func(http.ResponseWriter, *http.Request) { runtime.Goexit() },
		}), func(o *Options) { o.Log = log.logger() }))
		for i, path := range []string{"/panic", "/goexit"} {
			id := uint32(2*i + 1)
			p.request(id, "GET", true, ":path", path)
			if got := p.answer(id); got.reset == nil || *got.reset != http2.ErrCodeInternal {
				t.Errorf("%s: %+v", path, got)
			}
		}
		if text := log.String(); strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "a reason") {
			t.Error(text)
		}
	})
}

// echo answers with the body.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-Method")
	if _, err := io.Copy(w, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Method", r.Method)
}

// TestRealClients: net/http, curl and nghttp, over TLS.
func TestRealClients(t *testing.T) {
	t.Parallel()
	s := newServer(t, echo, nil)
	address, trusted := listen(t, s)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<17) // 2 MiB
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+address+"/", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			response, err := transport.RoundTrip(request)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(response.Body)
			if err = errors.Join(err, response.Body.Close()); err != nil || response.ProtoMajor != 2 || !bytes.Equal(got, body) || response.Trailer.Get("X-Method") != "POST" {
				t.Errorf("net/http: %v, %s, %d bytes, %v", err, response.Proto, len(got), response.Trailer)
			}
		})
	}
	clients.Wait()
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"curl", "--insecure", "--silent", "--show-error", "--http2", "--data-binary", "@" + file, "https://" + address + "/"},
		{"nghttp", "--data=" + file, "https://" + address + "/"},
	} {
		c := exec.CommandContext(t.Context(), command[0], command[1:]...)
		var errors bytes.Buffer
		c.Stderr = &errors
		if got, err := c.Output(); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %v, %d bytes: %s", command[0], err, len(got), errors.String())
		}
	}
	out, err := exec.CommandContext(t.Context(), "h2load", "-n", "2000", "-c", "4", "-m", "50", "https://"+address+"/").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "2000 succeeded, 0 failed") {
		t.Errorf("h2load: %v\n%s", err, out)
	}
}

// An idle connection keeps little.
func TestIdleConnectionsAreSmall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer(t, says(strings.Repeat("x", 10<<10)), nil)
		p := dial(t, s)
		for range 10 {
			p.request(p.id(), "POST", false, "x-a", fmt.Sprint(p.last))
			p.write(p.WriteData(p.last, true, make([]byte, 10<<10)))
			p.answer(p.last)
		}
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			c.mu.Lock()
			if c.input.buffer != nil || c.out != nil || len(c.streams) != 0 || len(c.queue) != 0 || c.handlers != 0 {
				t.Errorf("it keeps %v %v %d %d", c.input.buffer, c.out, len(c.streams), len(c.queue))
			}
			c.mu.Unlock()
		}
	})
}

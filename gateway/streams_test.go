package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/policies"
)

// sessions answer what a test says, and keep what they were asked.
type sessions struct {
	mu     sync.Mutex
	asked  []string
	answer func(n int) (active bool, err error)
}

func (s *sessions) SessionActive(_ context.Context, sid string, issued time.Time) (bool, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf("%s@%d", sid, issued.Unix()))
	active, err := s.answer(len(s.asked))
	return active, time.Now(), err
}

// TestASessionIsAskedAboutWhenTheTokenHasRunOut: while it lives, and while nobody knows, the stream goes on.
func TestASessionIsAskedAboutWhenTheTokenHasRunOut(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.respond = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: 1\n\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flush: %v", err)
		}
		<-r.Context().Done()
	}
	status := &sessions{answer: func(n int) (bool, error) {
		return n == 1, map[bool]error{true: errors.New("away")}[n == 2]
	}}
	var ended sync.WaitGroup
	records := make(chan *Record, 1)
	now := time.Now().Truncate(time.Second)
	var answered atomic.Bool // until then no time passes, and the token has not run out
	g, err := New(Options{
		AssertionKey: s.assert, AssertionKeys: func() []byte { return nil }, Revocations: s.revoked, Log: slog.New(slog.DiscardHandler),
		Sessions: status, Observe: func(r *Record) { records <- r },
		Now: func() time.Time {
			if answered.Load() {
				return time.Now()
			}
			return now
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Swap(s.gateway.generation.Load())
	ctx, stop := context.WithCancel(t.Context())
	ended.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	front := httptest.NewServer(g)
	defer front.Close()
	grant := s.grant()
	grant.AuthTime, grant.IssuedAt, grant.Expires = now, now, now.Add(2*time.Second)
	r, err := http.NewRequestWithContext(t.Context(), "GET", front.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "app.example.test"
	r.Header.Set("Cookie", "__Secure-sso="+s.sign(grant))
	resp, err := front.Client().Do(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %v", resp, err)
	}
	answered.Store(true)
	got, err := io.ReadAll(resp.Body)
	if string(got) != "data: 1\n\n" || err == nil {
		t.Errorf("read %q, %v; want one event, and then an answer that is cut off", got, err)
	}
	_ = resp.Body.Close()
	if record := <-records; record.StreamEnd != "session_over" || !record.Aborted {
		t.Errorf("the record says %q, aborted %v", record.StreamEnd, record.Aborted)
	}
	status.mu.Lock()
	defer status.mu.Unlock()
	if want := fmt.Sprintf("s-1@%d", now.Unix()); strings.Join(status.asked, " ") != want+" "+want+" "+want {
		t.Errorf("asked %q, want three times %s", status.asked, want)
	}
	stop()
	ended.Wait()
}

// TestWhatIsBound: by whom a stream was admitted counts where the decision depended on it.
func TestWhatIsBound(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(o *Settings) {
		o.Policies = compile(t, `
host: app.example.test
upstream: app
routes:
  - { path: /public, allow: public }
  - { path: /optional, allow: optional }
  - { path: /in, allow: authenticated }
  - { path: /keep, allow: authenticated, streams: keep }
`)
	})
	for path, c := range map[string]struct{ anonymous, signedIn bool }{
		"/public": {}, "/optional": {signedIn: true}, "/in": {signedIn: true}, "/keep": {},
	} {
		for _, signedIn := range []bool{false, true} {
			if path != "/public" && path != "/optional" && !signedIn {
				continue
			}
			r := httptest.NewRequest("GET", path, nil)
			r.Host, r.Header = "app.example.test", http.Header{}
			if signedIn {
				r.Header.Set("Cookie", "__Secure-sso="+s.sign(s.grant()))
			}
			x := &exchange{}
			x.receive(s.gateway, httptest.NewRecorder(), r)
			for _, step := range []func() error{x.locate, x.decide} {
				if err := step(); err != nil {
					t.Fatalf("%s: %v", path, err)
				}
			}
			owner := x.forwarding.Owner()
			if bound := owner.Session != ""; bound != (signedIn && c.signedIn) {
				t.Errorf("%s, signed in %v: bound %v", path, signedIn, bound)
			}
			if owner.Issuer != "" && (owner.Token != "t-1" || owner.Subject != "u-1" || !owner.IssuedAt.Equal(s.now) || !owner.Own) {
				t.Errorf("%s: %+v", path, owner)
			}
		}
	}
}

// BenchmarkIdleWebSockets says what an idle WebSocket takes, client, proxy and backend in one process and without TLS:
// through the gateway and through a plain httputil.ReverseProxy, so that only the difference says something.
func BenchmarkIdleWebSockets(b *testing.B) {
	const open = 4000
	accepted := make(chan net.Conn, open)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			b.Error(err)
			return
		}
		accepted <- conn
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err != nil {
			b.Error(err)
		}
	}))
	defer backend.Close()
	address, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	p := newHotPath(b, open)
	generation := p.gateway.generation.Load()
	for _, u := range generation.upstreams {
		u.URLs = []*url.URL{address}
	}
	set, err := policies.Compile([]policies.File{{Name: "app.yaml", Data: []byte("host: app.example.test\nupstream: app\nroutes: [ { path: /ws, allow: authenticated, websocket: true } ]\n")}},
		policies.Options{Domain: "example.test", PublicPort: 443, Upstreams: []string{"app"}, Issuers: []string{"vilogate"}})
	if err != nil {
		b.Fatal(err)
	}
	generation.Policies = set
	p.gateway.Swap(generation)
	plain := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(address); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdlePerAddress, DisableCompression: true},
	}
	for name, handler := range map[string]http.Handler{"plain": plain, "vilogate": p.gateway} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				front := strings.TrimPrefix(serveHTTP1(b, handler), "http://")
				before := memory()
				var conns []net.Conn
				for i := range open {
					conn, err := net.Dial("tcp", front)
					if err != nil {
						b.Fatal(err)
					}
					conns = append(conns, conn)
					_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: app.example.test\r\nOrigin: https://app.example.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
						"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nCookie: "+p.cookies[i]+"\r\n\r\n")
					if err != nil {
						b.Fatal(err)
					}
					if line, err := bufio.NewReaderSize(conn, 16).ReadString('\n'); err != nil || !strings.Contains(line, "101") {
						b.Fatalf("%q, %v", line, err)
					}
				}
				b.ReportMetric(float64(memory()-before)/open, "B/websocket")
				for _, conn := range conns {
					_ = conn.Close()
					_ = (<-accepted).Close()
				}
			}
		})
	}
}

// memory is how many bytes of heap and stacks are in use.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

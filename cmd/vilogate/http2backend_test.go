package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// newH2CBackend serves HTTP/2 over TCP, and returns its address as upstreams have it.
func newH2CBackend(t *testing.T, handler http.HandlerFunc) (*httptest.Server, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server, "h2c://" + server.Listener.Addr().String()
}

// TestBackendsOverHTTP2: identity headers, bodies, early hints, trailers and health checks come and go as over HTTP/1.1, from clients of
// either protocol; of a connection and of an upgrade nothing does.
func TestBackendsOverHTTP2(t *testing.T) {
	t.Parallel()
	var checks atomic.Int32
	_, address := newH2CBackend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/healthz" {
			checks.Add(1)
			return
		}
		for name := range r.Header {
			switch name {
			case "Connection", "Upgrade", "Keep-Alive", "Transfer-Encoding", "X_user":
				t.Errorf("%s has arrived", name)
			}
		}
		if r.URL.Path == "/base/public/hints" {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
		}
		w.Header().Set("Trailer", "X-Announced")
		w.Header().Set("X-Request-Id", "the backend's own")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		_ = http.NewResponseController(w).Flush() // else it would have a length, and HTTP/1.1 no trailers
		fmt.Fprintf(w, "%s %s %s %q %q %q", r.Proto, r.Method, r.RequestURI, r.Host, r.Header.Get("X-User"), body)
		w.Header().Set("X-Announced", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Other", "b")
	})
	s := toBackends(t, nil, fmt.Sprintf(`app: { url: "%s/base", health: { path: /healthz, interval: 1s } }`, address))
	s.addUser("alice", "member")
	sso := s.client().login("alice").sso()
	for _, p := range protocols() {
		got := p.send(s, t, request{method: "PUT", host: appHost, target: "/public/%41%3By?q=%20", body: "a body", header: []string{
			cookieLine(sso), "Origin: https://" + appHost, "X_User: mallory", "X-User: mallory", "TE: trailers",
		}})
		if want := `HTTP/2.0 PUT /base/public/A%3By?q=%20 "app.viloforge.test" "alice" "a body"`; got.status != http.StatusOK || got.body != want || got.trailer.Get("X-Other") != "b" {
			t.Errorf("%s: %v, trailer %v, want %q", p.name, got, got.trailer, want)
		}
		if id := got.header.Values("X-Request-Id"); len(id) != 1 || id[0] == "the backend's own" {
			t.Errorf("%s: X-Request-Id %q", p.name, id)
		}
		got = p.send(s, t, request{method: "HEAD", host: appHost, target: "/public/x"})
		if got.status != http.StatusOK || got.body != "" {
			t.Errorf("%s: HEAD: %v", p.name, got)
		}
	}
	if got := s.http1(t, request{host: appHost, target: "/public/hints"}); got.status != http.StatusEarlyHints || got.header.Get("Link") != "</a.css>; rel=preload" {
		t.Errorf("hints: %v", got)
	}
	got := s.http1(t, request{host: appHost, target: "/public/x", header: strings.Split(upgrade+"Origin: https://"+appHost, "\r\n")})
	if got.status != http.StatusOK {
		t.Errorf("a WebSocket handshake: %v, want what a request without it is answered", got)
	}
	eventually(t, "checks have succeeded", func() bool { return checks.Load() > 1 })
	eventually(t, "the address is healthy", func() bool { return s.addressStates(t)["app "+address+"/base"].State == "healthy" })
}

// TestTrailersOfAConnection: what is of one connection alone, by its name or by what Connection says, comes behind no body either. A backend
// of HTTP/2 would have to take the whole request for malformed.
func TestTrailersOfAConnection(t *testing.T) {
	t.Parallel()
	echo := func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "%v", r.Trailer)
	}
	plain := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(plain.Close)
	_, h2c := newH2CBackend(t, echo)
	for _, address := range []string{plain.URL, h2c} {
		s := toBackends(t, nil, fmt.Sprintf("app: { url: %q }", address))
		got := s.http1(t, request{method: http.MethodPost, host: appHost, target: "/public/x", header: []string{
			"Transfer-Encoding: chunked", "Connection: X-Hop", "Trailer: X-Sum, Keep-Alive, Proxy-Connection, Proxy-Authorization, X-Hop",
		}, body: "2\r\nhi\r\n0\r\nX-Sum: good\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eDp5\r\nX-Hop: 1\r\n\r\n"})
		if got.status != http.StatusOK || got.body != "map[X-Sum:[good]]" {
			t.Errorf("%s: %v, want one trailer", address, got)
		}
	}
}

// frameBackend is a backend whose frames a test writes: do is called with each connection, whose settings were exchanged, and the header of
// each request on it.
func frameBackend(t *testing.T, do func(c *http2.Framer, connection int, r *http2.MetaHeadersFrame) error) string {
	t.Helper()
	listener := listenLoopback(t)
	t.Cleanup(func() { closeQuietly(t, listener) })
	go func() {
		for n := 1; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer closeQuietly(t, conn)
				c := http2.NewFramer(conn, conn)
				c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
				if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil || c.WriteSettings() != nil {
					return
				}
				for {
					f, err := c.ReadFrame()
					if err != nil {
						return
					}
					if r, ok := f.(*http2.MetaHeadersFrame); ok {
						if do(c, n, r) != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return "h2c://" + listener.Addr().String()
}

// answerOK answers a request by 204.
func answerOK(c *http2.Framer, r *http2.MetaHeadersFrame) error {
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: r.StreamID, BlockFragment: []byte{0x89}, EndHeaders: true, EndStream: true}) // :status 204
}

// TestWhatABackendHasNotProcessedIsSentAgain: a POST with a body, on another connection, once; never with retry: off.
func TestWhatABackendHasNotProcessedIsSentAgain(t *testing.T) {
	t.Parallel()
	refuse := func(c *http2.Framer, r *http2.MetaHeadersFrame) error {
		return c.WriteRSTStream(r.StreamID, http2.ErrCodeRefusedStream)
	}
	goAway := func(c *http2.Framer, _ *http2.MetaHeadersFrame) error { return c.WriteGoAway(0, http2.ErrCodeNo, nil) }
	var asked [4]atomic.Int32
	first := func(i int, do func(*http2.Framer, *http2.MetaHeadersFrame) error) string {
		return frameBackend(t, func(c *http2.Framer, _ int, r *http2.MetaHeadersFrame) error {
			if asked[i].Add(1) == 1 {
				return do(c, r)
			}
			return answerOK(c, r)
		})
	}
	s := toBackends(t, nil,
		fmt.Sprintf("app: { url: %q }", first(0, refuse)), fmt.Sprintf("away: { url: %q }", first(1, goAway)),
		fmt.Sprintf("once: { url: %q, retry: off }", first(2, refuse)),
		fmt.Sprintf("never: { url: %q }", frameBackend(t, func(c *http2.Framer, _ int, r *http2.MetaHeadersFrame) error {
			asked[3].Add(1)
			return refuse(c, r)
		})))
	for i, want := range []struct {
		host   string
		status int
		asked  int32
	}{{"app", 204, 2}, {"away", 204, 2}, {"once", 502, 1}, {"never", 502, 2}} {
		got := s.client().do(http.MethodPost, s.url(want.host, "/public/x"), "body")
		if got.status != want.status || asked[i].Load() != want.asked {
			t.Errorf("%s: %v after %d requests, want %d after %d", want.host, got, asked[i].Load(), want.status, want.asked)
		}
	}
}

// TestAnAnswerThatABackendOfHTTP2CutsOff is cut off for the client, too; and who cancels is heard by the backend.
func TestAnAnswerThatABackendOfHTTP2CutsOff(t *testing.T) {
	t.Parallel()
	backend := http.NewServeMux()
	backend.HandleFunc("/public/cut", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "some")
		if err := http.NewResponseController(w).Flush(); err != nil && r.Context().Err() == nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	})
	_, address := newH2CBackend(t, backend.ServeHTTP)
	s := toBackends(t, nil, fmt.Sprintf("app: { url: %q, timeout: 1s }", address))
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		eventually(t, protocol+": the answer begins in time", func() bool {
			got, err := c.try(http.MethodGet, s.url("app", "/public/cut"), "")
			if err == nil && got.status != http.StatusGatewayTimeout {
				t.Errorf("%s: %v looks whole", protocol, got)
			}
			return got.status != http.StatusGatewayTimeout
		})
		arrived, gone := make(chan struct{}, 100), make(chan struct{}, 100)
		backend.Handle("/public/wait/"+protocol, waits(t, arrived, gone))
		eventually(t, protocol+": the request arrives in time", func() bool {
			began := time.Now()
			if got := c.get(s.url("app", "/public/wait/"+protocol)); got.status != http.StatusGatewayTimeout || time.Since(began) < time.Second {
				t.Errorf("%s: %v after %v", protocol, got, time.Since(began))
			}
			return len(arrived) > 0
		})
		wait(t, gone, "its end")
	}
}

package edge

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// protocols are what the server speaks.
var protocols = []string{"http/1.1", "h2"}

func hello(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s from %s", r.Proto, r.RemoteAddr)
}

func TestVersionsOfTLSAndHTTP(t *testing.T) {
	t.Parallel()
	s := start(t, hello, nil)
	for version, good := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		for _, protocol := range protocols {
			c := s.client(protocol)
			config := c.Transport.(*http.Transport).TLSClientConfig
			config.MinVersion, config.MaxVersion = version, version
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://www."+domain+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := c.Do(request)
			if (err == nil) != good {
				t.Fatalf("%s over %s: %v", protocol, tls.VersionName(version), err)
			}
			if err != nil {
				continue
			}
			if (response.ProtoMajor == 2) != (protocol == "h2") {
				t.Errorf("asked for %s, got %s", protocol, response.Proto)
			}
			if err := response.Body.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestStrictTransportSecurity(t *testing.T) {
	t.Parallel()
	for on, want := range map[bool]string{true: "max-age=31536000", false: ""} {
		s := start(t, hello, func(o *Options) { o.HSTS = on })
		for _, protocol := range protocols {
			response, _ := s.get(s.client(protocol), "https://www."+domain+"/")
			if got := response.Header.Get("Strict-Transport-Security"); got != want {
				t.Errorf("%s: %q, want %q", protocol, got, want)
			}
		}
	}
}

func TestHeadersBeyondTheLimitAre431(t *testing.T) {
	t.Parallel()
	const limit = 16 << 10
	s := start(t, hello, func(o *Options) { o.Limits.HeaderBytes = limit })
	for _, protocol := range protocols {
		c := s.client(protocol)
		for size, want := range map[int]int{limit * 2 / 3: http.StatusOK, limit + 1: http.StatusRequestHeaderFieldsTooLarge, 1 << 20: http.StatusRequestHeaderFieldsTooLarge} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://www."+domain+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Long", strings.Repeat("x", size))
			response, err := c.Do(request)
			if err != nil {
				// A server may close while the client still sends; what it must not do is to answer 200.
				if size < limit {
					t.Errorf("%s: %d bytes: %v", protocol, size, err)
				}
				continue
			}
			if response.StatusCode != want {
				t.Errorf("%s: %d bytes: %d, want %d", protocol, size, response.StatusCode, want)
			}
			if err := response.Body.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestManyStreamsOnOneConnection: as many as the limit are under way at once on the one connection that there is.
func TestManyStreamsOnOneConnection(t *testing.T) {
	t.Parallel()
	const streams = 250
	arrived, finish := make(chan string, streams), make(chan struct{})
	s := start(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			return
		}
		arrived <- r.RemoteAddr
		<-finish
	}, nil)
	c := s.client("h2")
	s.get(c, "https://www."+domain+"/first") // many that find no connection would all open one
	var group sync.WaitGroup
	for range streams {
		group.Go(func() { s.get(c, "https://www."+domain+"/") })
	}
	connections := map[string]bool{}
	for range streams {
		select {
		case addr := <-arrived:
			connections[addr] = true
		case <-time.After(longest):
			t.Fatal("not all streams arrived")
		}
	}
	close(finish)
	group.Wait()
	if len(connections) != 1 {
		t.Errorf("%d streams on %d connections", streams, len(connections))
	}
}

func TestStreamsBeyondTheLimitAreRefused(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	s := start(t, func(http.ResponseWriter, *http.Request) { <-finish }, func(o *Options) { o.Limits.Streams = 3 })
	f := s.frames()
	if got := f.streams; got != 3 {
		t.Errorf("announces %d streams, want 3", got)
	}
	for id := uint32(1); id <= 7; id += 2 {
		f.request(id, "GET", true)
	}
	if id, code := f.reset(); id != 7 {
		t.Errorf("stream %d: %s", id, code)
	}
	close(finish)
}

// TestOptionsOfTheServer: `OPTIONS *` is not answered behind the handler's back.
func TestOptionsOfTheServer(t *testing.T) {
	t.Parallel()
	s := start(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }, nil)
	conn := s.dial("http/1.1")
	send(t, conn, "OPTIONS * HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.StatusCode != http.StatusTeapot {
		t.Errorf("%v %v", response, err)
	}
}

// TestNoiseIsNoNews: what scanners do is not in the log; what handlers do is.
func TestNoiseIsNoNews(t *testing.T) {
	t.Parallel()
	s := start(t, func(http.ResponseWriter, *http.Request) { panic("a fault of ours") }, nil)
	for _, text := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05nonsense", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		conn, err := net.Dial("tcp", s.opts.HTTPS[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		send(t, conn, text)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); closing(conn, err) != nil {
			t.Logf("%q: %v", text, err)
		}
	}
	if conn, err := tls.Dial("tcp", s.opts.HTTPS[0].Addr().String(), &tls.Config{ServerName: domain}); err == nil {
		t.Error("trusted without its CA", conn.Close())
	}
	conn := s.dial("http/1.1")
	send(t, conn, "GET / HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
	if answer, err := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("a panic was answered with %q (%v)", answer, err)
	}
	eventually(t, "the panic is in the log", func() bool { return strings.Contains(s.log.String(), "a fault of ours") })
	if got := s.log.String(); strings.Contains(got, "handshake") || strings.Contains(got, "preface") {
		t.Errorf("noise: %s", got)
	}
}

func TestNoiseCanBeHeard(t *testing.T) {
	t.Parallel()
	log := &buffer{}
	s := start(t, hello, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	conn, err := net.Dial("tcp", s.opts.HTTPS[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	send(t, conn, "nonsense")
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the handshake is in the log at level debug", func() bool {
		return strings.Contains(log.String(), "level=DEBUG") && strings.Contains(log.String(), "handshake")
	})
}

// TestFailingListenerEndsTheServer: half a server is none.
func TestFailingListenerEndsTheServer(t *testing.T) {
	t.Parallel()
	o := Options{
		Handler: http.HandlerFunc(hello), HTTPS: listenFree(t), HTTP: listenFree(t), Source: openCA(t, t.TempDir()),
		Limits:     Limits{HeaderBytes: 64 << 10, HeaderTime: time.Second, IdleTime: time.Second, Streams: 250},
		ServedHost: func(string) bool { return true }, PublicPort: 443, Log: slog.New(slog.DiscardHandler),
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve() }()
	if err := o.HTTP[0].Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), o.HTTP[0].Addr().String()) {
			t.Errorf("got %v", err)
		}
	case <-time.After(longest):
		t.Fatal("the others go on")
	}
}

func TestNewRefusesWhatIsNotWhole(t *testing.T) {
	t.Parallel()
	whole := Options{
		Handler: http.HandlerFunc(hello), HTTPS: listenFree(t), Source: &LocalCA{}, ServedHost: func(string) bool { return true },
		Limits: Limits{HeaderBytes: 1, HeaderTime: 1, IdleTime: 1, Streams: 1}, Log: slog.New(slog.DiscardHandler),
	}
	t.Cleanup(func() { closeAll(t, whole.HTTPS) })
	if _, err := New(whole); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Options){
		"handler": func(o *Options) { o.Handler = nil }, "source": func(o *Options) { o.Source = nil },
		"hosts": func(o *Options) { o.ServedHost = nil }, "log": func(o *Options) { o.Log = nil },
		"listener": func(o *Options) { o.HTTPS = nil }, "header bytes": func(o *Options) { o.Limits.HeaderBytes = 0 },
		"header time": func(o *Options) { o.Limits.HeaderTime = 0 }, "idle time": func(o *Options) { o.Limits.IdleTime = 0 },
		"streams": func(o *Options) { o.Limits.Streams = 0 },
	} {
		o := whole
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("made without %s", name)
		}
	}
}

// closes waits until the server closes a connection, and says what it sent.
func closes(t *testing.T, conn net.Conn) string {
	t.Helper()
	answer, err := io.ReadAll(conn)
	if err != nil && os.IsTimeout(err) {
		t.Errorf("the connection is still open; so far %q", answer)
	}
	return string(answer)
}

func TestPlainHTTPToAPortOfTLSIsAnswered(t *testing.T) {
	s := start(t, func(http.ResponseWriter, *http.Request) { t.Error("served") }, nil)
	conn, err := net.Dial("tcp", s.opts.HTTPS[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || answer.StatusCode != http.StatusBadRequest || !answer.Close {
		t.Errorf("answered %+v, %v", answer, err)
	}
}

// curl --http1.0 and others name it in their handshake.
func TestHTTP10ByALPN(t *testing.T) {
	s := start(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }, nil)
	conn := s.dial("http/1.0")
	if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\nHost: www."+domain+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(all), "\r\n\r\nHTTP/1.0") {
		t.Errorf("answered %q, %v", all, err)
	}
}

// TestAPanicEndsOneConnection: what fails in a handshake is logged, and the next connection is served.
func TestAPanicEndsOneConnection(t *testing.T) {
	t.Parallel()
	s := start(t, hello, func(o *Options) {
		o.HostTLS = func(serverName string) *HostTLS {
			if serverName == "fails."+domain {
				panic("a fault of ours")
			}
			return nil
		}
	})
	config := s.tls("http/1.1")
	config.ServerName = "fails." + domain
	if conn, err := tls.Dial("tcp", s.opts.HTTPS[0].Addr().String(), config); err == nil {
		t.Error("the handshake has ended well", conn.Close())
	}
	eventually(t, "the panic is in the log", func() bool { return strings.Contains(s.log.String(), "a fault of ours") })
	if response, _ := s.get(s.client("http/1.1"), "https://www."+domain+"/"); response.StatusCode != http.StatusOK {
		t.Errorf("the next connection: %d", response.StatusCode)
	}
}

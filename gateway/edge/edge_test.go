package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

const domain = "viloforge.test"

// longest ends a test that hangs. No test asserts that anything is as quick.
const longest = 2 * time.Minute

// site is a running server with a local CA.
type site struct {
	*Server
	t     testing.TB
	roots *x509.CertPool
	log   *buffer
	ended chan error // what Serve came to
}

// start starts a server for handler on free ports of both loopbacks.
func start(t testing.TB, handler http.HandlerFunc, change func(*Options)) *site {
	t.Helper()
	return startOn(t, listenFree(t), listenFree(t), handler, change)
}

func startOn(t testing.TB, secure, plain []net.Listener, handler http.HandlerFunc, change func(*Options)) *site {
	t.Helper()
	ca := openCA(t, t.TempDir())
	s := &site{t: t, roots: rootsOf(t, ca.Path()), log: &buffer{}, ended: make(chan error, 1)}
	o := Options{
		Handler: handler, HTTPS: secure, HTTP: plain, Source: ca,
		Limits:     Limits{HeaderBytes: 64 << 10, HeaderTime: 10 * time.Second, IdleTime: time.Minute, BodyMinRate: 1024, Streams: 250},
		ServedHost: func(host string) bool { return host == "www."+domain },
		PublicPort: 443, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	var err error
	if s.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.Serve() }()
	t.Cleanup(func() {
		// What a test left open is cut off.
		if err := s.Drain(t.Context(), 0, 0); err != nil {
			t.Logf("drain: %v", err)
		}
		if err := <-s.ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func openCA(t testing.TB, dir string) *LocalCA {
	t.Helper()
	ca, err := OpenLocalCA(dir, domain, []string{domain, "*." + domain}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func rootsOf(t testing.TB, path string) *x509.CertPool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		t.Fatalf("no certificate in %s", path)
	}
	return roots
}

func listenFree(t testing.TB) []net.Listener {
	t.Helper()
	listeners, err := Listen(t.Context(), "127.0.0.1:0", "listen.test")
	if err != nil {
		t.Fatal(err)
	}
	return listeners
}

// tls is the configuration of a client that trusts the site.
func (s *site) tls(protocols ...string) *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: "www." + domain, NextProtos: protocols}
}

// client resolves every name to the site, and speaks the one protocol.
func (s *site) client(protocol string) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: s.tls(), Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			if _, port, err := net.SplitHostPort(addr); err == nil && port == "80" {
				return connect(ctx, s.opts.HTTP[0])
			}
			return connect(ctx, s.opts.HTTPS[0])
		},
	}
	transport.Protocols.SetHTTP1(protocol == "http/1.1")
	transport.Protocols.SetHTTP2(protocol == "h2")
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get reads an answer whole.
func (s *site) get(c *http.Client, url string) (*http.Response, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err := closing(response.Body, err); err != nil {
		s.t.Fatal(err)
	}
	return response, string(body)
}

func closing(c io.Closer, err error) error {
	if closed := c.Close(); err == nil {
		err = closed
	}
	return err
}

// dial opens a TLS connection that ends with the test.
func (s *site) dial(protocol string) *tls.Conn {
	s.t.Helper()
	raw, err := connect(s.t.Context(), s.opts.HTTPS[0])
	if err != nil {
		s.t.Fatal(err)
	}
	conn := tls.Client(raw, s.tls(protocol))
	s.t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			s.t.Logf("closing a client: %v", err)
		}
	})
	if err := conn.SetDeadline(time.Now().Add(longest)); err != nil {
		s.t.Fatal(err)
	}
	if err := conn.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	return conn
}

// connect opens a connection to a listener, wherever it listens.
func connect(ctx context.Context, to net.Listener) (net.Conn, error) {
	if m, ok := to.(*memory); ok {
		return m.dial()
	}
	return new(net.Dialer).DialContext(ctx, "tcp", to.Addr().String())
}

// send writes to a connection.
func send(t testing.TB, conn io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// buffer is a log to look at while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	end := time.After(longest)
	for !holds() {
		select {
		case <-ticker.C:
		case <-end:
			t.Fatalf("not within %v: %s", longest, what)
		}
	}
}

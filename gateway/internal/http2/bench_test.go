package http2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
)

// hello is what the benchmarks serve: a small answer with a few fields.
func hello(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if _, err := io.WriteString(w, `{"invoice_id":1,"amount":2,"user":"alice"}`); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// listenStandard serves the handler with net/http's HTTP/2.
func listenStandard(t testing.TB, h http.Handler) (string, *x509.CertPool) {
	t.Helper()
	pair, trusted := certificate(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}}
	var served sync.WaitGroup
	served.Go(func() {
		if err := server.ServeTLS(l, "", ""); err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		served.Wait()
	})
	return l.Addr().String(), trusted
}

// load has streams requests under way on one connection, b.N in all, and reads the answers: it does as little as it can
// itself, so that what is measured is the server.
func load(b *testing.B, address string, trusted *x509.CertPool, streams int) {
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: trusted, NextProtos: []string{"h2"}}}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	c := newRawClient(b, conn, 64<<10)
	defer c.close()
	b.ReportAllocs()
	b.ResetTimer()
	c.drive(b.N, streams)
}

func BenchmarkRequests(b *testing.B) {
	for _, streams := range []struct {
		name string
		n    int
	}{{"one", 1}, {"ten", 10}, {"hundred", 100}} {
		b.Run("here/"+streams.name, func(b *testing.B) {
			address, trusted := listen(b, newServer(b, hello, func(o *Options) { o.Limits.ControlFrames = 1 << 30 }))
			load(b, address, trusted, streams.n)
		})
		b.Run("standard/"+streams.name, func(b *testing.B) {
			address, trusted := listenStandard(b, http.HandlerFunc(hello))
			load(b, address, trusted, streams.n)
		})
	}
}

// BenchmarkIdleConnections says what a connection keeps while it has nothing to do, its TLS and the client's side of it included.
func BenchmarkIdleConnections(b *testing.B) {
	for name, listen := range map[string]func() (string, *x509.CertPool){
		"here":     func() (string, *x509.CertPool) { return listen(b, newServer(b, hello, nil)) },
		"standard": func() (string, *x509.CertPool) { return listenStandard(b, http.HandlerFunc(hello)) },
	} {
		b.Run(name, func(b *testing.B) {
			address, trusted := listen()
			const connections = 200
			for b.Loop() {
				before := inUse()
				var clients []*rawClient
				for range connections {
					conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: trusted, NextProtos: []string{"h2"}}}).DialContext(b.Context(), "tcp", address)
					if err != nil {
						b.Fatal(err)
					}
					c := newRawClient(b, conn, 512)
					c.drive(10, 10)
					clients = append(clients, c)
				}
				b.ReportMetric(float64(inUse()-before)/connections, "B/connection")
				for _, c := range clients {
					c.close()
				}
			}
		})
	}
}

// inUse is the memory in use: heap and stacks.
func inUse() int64 {
	runtime.GC()
	runtime.GC() // pools let go of what they hold at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

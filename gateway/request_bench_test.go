package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// newAsking has a client ask for 1 KiB of a backend, a request at a time. Both do nothing but write and read bytes, so that all that is
// allocated is the gateway's.
func newAsking(b testing.TB) (ask func()) {
	p := newHotPath(b, 1)
	answer := []byte("HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Mon, 30 Nov 2026 09:00:00 GMT\r\nContent-Type: text/html\r\n" +
		"Content-Length: 1024\r\nLast-Modified: Mon, 30 Nov 2026 09:00:00 GMT\r\nETag: \"6565\"\r\nAccept-Ranges: bytes\r\n\r\n" + strings.Repeat("x", 1024))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go echo(conn, answer)
		}
	}()
	for _, u := range p.gateway.generation.Load().upstreams {
		u.URLs = []*url.URL{{Scheme: "http", Host: listener.Addr().String()}}
	}
	p.gateway.Swap(p.gateway.generation.Load())
	request := []byte("GET /service-7/1/items/a/b?page=2 HTTP/1.1\r\nHost: app.example.test\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n" +
		"Accept-Encoding: gzip, br\r\nAccept-Language: en\r\nSec-Fetch-Site: same-origin\r\nCookie: " + p.cookies[0] + "\r\n\r\n")
	conn, err := net.Dial("tcp", strings.TrimPrefix(serveHTTP1(b, p.gateway), "http://"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	reader := bufio.NewReader(conn)
	first := func() int64 {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		counted := &bytes.Buffer{}
		resp, err := http.ReadResponse(bufio.NewReader(io.TeeReader(reader, counted)), nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		return int64(counted.Len())
	}()
	whole := make([]byte, first)
	return func() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(reader, whole); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequest is a request's whole way but TLS.
func BenchmarkRequest(b *testing.B) {
	ask := newAsking(b)
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}

// TestARequestAllocatesLittle on its whole way but TLS: 18 times. The race detector has pools lose some of what they are given, which
// is allocated again.
func TestARequestAllocatesLittle(t *testing.T) {
	const most = 18 + 4
	if n := testing.AllocsPerRun(500, newAsking(t)); n > most {
		t.Errorf("%v allocations a request, want at most %v", n, most)
	}
}

// echo answers each request that arrives whole in a read.
func echo(conn net.Conn, answer []byte) {
	defer func() { _ = conn.Close() }()
	buffer := make([]byte, 16<<10)
	for n := 0; ; {
		more, err := conn.Read(buffer[n:])
		if err != nil {
			return
		}
		if n += more; !bytes.HasSuffix(buffer[:n], []byte("\r\n\r\n")) {
			continue
		}
		if n = 0; !write(conn, answer) {
			return
		}
	}
}

func write(conn net.Conn, b []byte) bool {
	_, err := conn.Write(b)
	return err == nil
}

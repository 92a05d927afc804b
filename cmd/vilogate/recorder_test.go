package main_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// recorder is a backend that keeps the very bytes it received, so that nothing a parser would have tidied up is missed.
type recorder struct {
	tb       testing.TB
	listener net.Listener
	wait     sync.WaitGroup

	mu       sync.Mutex
	requests []recorded // guarded by mu
	open     []net.Conn // guarded by mu
}

// recorded is one request as it stood on the backend's connection.
type recorded struct {
	head string // request line and header lines, without the empty line
	body string // as it stood on the wire, chunk sizes and trailers included
}

func record(tb testing.TB) *recorder {
	tb.Helper()
	r := &recorder{tb: tb, listener: listenLoopback(tb)}
	r.wait.Go(r.accept)
	tb.Cleanup(func() {
		closeQuietly(tb, r.listener)
		r.mu.Lock()
		for _, conn := range r.open {
			closeQuietly(tb, conn)
		}
		r.mu.Unlock()
		r.wait.Wait()
	})
	return r
}

func (r *recorder) url() string { return "http://" + r.listener.Addr().String() }

func (r *recorder) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.open = append(r.open, conn)
		r.mu.Unlock()
		r.wait.Go(func() {
			if err := r.answer(conn); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				r.tb.Logf("recording backend: %v", err)
			}
		})
	}
}

// answer serves one connection until its end.
func (r *recorder) answer(conn net.Conn) error {
	reader := bufio.NewReader(conn)
	for {
		request, err := readRecorded(reader)
		if request.head != "" {
			r.mu.Lock()
			r.requests = append(r.requests, request)
			r.mu.Unlock()
		}
		if err != nil {
			return err
		}
		body := "seen"
		if strings.HasPrefix(request.head, "HEAD ") {
			body = ""
		}
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n%s", body); err != nil {
			return err
		}
	}
}

func readRecorded(reader *bufio.Reader) (recorded, error) {
	var r recorded
	for {
		line, err := reader.ReadString('\n')
		if line == "\r\n" || line == "\n" {
			break
		}
		r.head += line
		if err != nil {
			return r, err
		}
	}
	switch {
	case strings.EqualFold(r.value("Transfer-Encoding"), "chunked"):
		return r, r.readChunks(reader)
	case r.value("Content-Length") != "":
		length, err := strconv.Atoi(r.value("Content-Length"))
		if err != nil {
			return r, err
		}
		body := make([]byte, length)
		_, err = io.ReadFull(reader, body)
		r.body = string(body)
		return r, err
	}
	return r, nil
}

// readChunks keeps a chunked body with its trailers.
func (r *recorded) readChunks(reader *bufio.Reader) error {
	last := false
	for {
		line, err := reader.ReadString('\n')
		r.body += line
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		if last {
			if line == "" {
				return nil
			}
			continue
		}
		size, err := strconv.ParseInt(line, 16, 32)
		if err != nil {
			return err
		}
		if last = size == 0; last {
			continue
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(reader, chunk); err != nil {
			return err
		}
		r.body += string(chunk)
	}
}

// target is the request line's target, as received.
func (r recorded) target() string {
	line, _, _ := strings.Cut(r.head, "\r\n")
	parts := strings.Split(line, " ")
	if len(parts) != 3 {
		return "malformed request line: " + line
	}
	return parts[1]
}

// values lists the values of the header lines with exactly that name, in any case.
func (r recorded) values(name string) []string {
	var found []string
	for line := range strings.SplitSeq(r.head, "\r\n") {
		if n, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			found = append(found, strings.TrimSpace(value))
		}
	}
	return found
}

func (r recorded) value(name string) string { return strings.Join(r.values(name), "\n") }

// folding lists the header lines that a backend of the CGI family (WSGI, PHP, Rack) would read as that header.
func (r recorded) folding(name string) []string {
	var found []string
	lines := strings.Split(r.head, "\r\n")
	for _, line := range lines[1:] {
		if n, _, ok := strings.Cut(line, ":"); ok && foldHeaderName(n) == foldHeaderName(name) {
			found = append(found, line)
		}
	}
	return found
}

func foldHeaderName(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'A' <= c && c <= 'Z':
			return c + ('a' - 'A')
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		}
		return '-'
	}, name)
}

// all returns everything received so far.
func (r *recorder) all() []recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]recorded{}, r.requests...)
}

// with returns what was received and carries the text anywhere in its bytes.
func (r *recorder) with(text string) []recorded {
	var found []recorded
	for _, request := range r.all() {
		if strings.Contains(request.head, text) || strings.Contains(request.body, text) {
			found = append(found, request)
		}
	}
	return found
}

// probe marks the requests of one test case, so that cases can share a gateway and its backend.
type probe struct {
	tb      testing.TB
	backend *recorder
	mark    string
}

func (r *recorder) probe(tb testing.TB) probe {
	return probe{tb, r, "mark-" + strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
			return c
		}
		return '-'
	}, tb.Name())}
}

// header is the line that a request of this case has to carry.
func (p probe) header() string { return "X-Probe: " + p.mark + "." }

// none asserts that the backend has seen nothing of this case.
func (p probe) none() {
	p.tb.Helper()
	for _, r := range p.backend.with(p.mark + ".") {
		p.tb.Errorf("the backend received:\n%s\n%s", r.head, r.body)
	}
}

// one asserts that the backend has seen exactly one request of this case and returns it.
func (p probe) one() recorded {
	p.tb.Helper()
	seen := p.backend.with(p.mark + ".")
	if len(seen) != 1 {
		p.tb.Fatalf("the backend received %d requests, want 1: %q", len(seen), seen)
	}
	return seen[0]
}

// forget drops what the backend has seen of a case, for the next one of the same test.
func (r *recorder) forget(p probe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = slices.DeleteFunc(r.requests, func(seen recorded) bool { return strings.Contains(seen.head, p.mark+".") })
}

package server

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memoryConn is one end of a connection in memory, whose deadlines follow the clock of a synctest bubble.
type memoryConn struct{ in, out *stream }

func newMemoryConn() (client, server *memoryConn) {
	there, back := newStream(), newStream()
	return &memoryConn{in: back, out: there}, &memoryConn{in: there, out: back}
}

func (c *memoryConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memoryConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *memoryConn) LocalAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (c *memoryConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

func (c *memoryConn) Close() error {
	c.in.change(func(s *stream) { s.unread = true })
	return c.CloseWrite()
}

func (c *memoryConn) CloseWrite() error {
	c.out.change(func(s *stream) { s.ended = true })
	return nil
}

func (c *memoryConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *memoryConn) SetReadDeadline(t time.Time) error {
	c.in.change(func(s *stream) { s.reading.set(t) })
	return nil
}

func (c *memoryConn) SetWriteDeadline(t time.Time) error {
	c.out.change(func(s *stream) { s.writing.set(t) })
	return nil
}

// window is how much of a stream may lie unread.
const window = 64 << 10

// stream is one direction of a connection.
type stream struct {
	mu               sync.Mutex
	changed          *sync.Cond
	data             []byte
	ended, unread    bool // nothing more is written, or read
	reading, writing deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	wake := func() { s.change(func(*stream) {}) }
	s.reading.wake, s.writing.wake = wake, wake
	return s
}

func (s *stream) change(f func(*stream)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
	s.changed.Broadcast()
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.unread:
			return 0, net.ErrClosed
		case s.reading.over():
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(p, s.data)
			s.data = slices.Delete(s.data, 0, n)
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.ended || s.unread:
			return n, net.ErrClosed
		case s.writing.over():
			return n, os.ErrDeadlineExceeded
		case n == len(p):
			return n, nil
		case len(s.data) < window:
			some := min(len(p)-n, window-len(s.data))
			s.data = append(s.data, p[n:n+some]...)
			n += some
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

// deadline is guarded by the stream's mu.
type deadline struct {
	at    time.Time
	timer *time.Timer
	wake  func()
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(t time.Time) {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.at = t; !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), d.wake)
	}
}

// testLimits are long enough to be told apart.
var testLimits = Limits{
	HeaderBytes: 64 << 10, HeaderTime: 10 * time.Second, IdleTime: time.Minute, BodyMinRate: 100, BodyTime: 15 * time.Second,
}

// site is a server in a synctest bubble.
type site struct {
	*Server
	t *testing.T
}

// serve runs test in a bubble, with a server of the handler.
func serve(t *testing.T, handler http.HandlerFunc, test func(s *site)) {
	t.Helper()
	serveWith(t, Options{Handler: handler}, test)
}

func serveWith(t *testing.T, o Options, test func(s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if o.Limits == (Limits{}) {
			o.Limits = testLimits
		}
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
		s := &site{New(o), t}
		// A connection is read on behind its last answer, and the clock of a bubble ends with its test.
		t.Cleanup(func() {
			_ = s.Close()
			<-time.After(2 * lingerTime)
		})
		test(s)
	})
}

// peer is the client's end of a connection.
type peer struct {
	*memoryConn
	t      *testing.T
	answer *bufio.Reader
	served chan struct{} // closed when the server has done with the connection
}

func (s *site) dial() *peer {
	client, conn := newMemoryConn()
	p := &peer{client, s.t, bufio.NewReader(client), make(chan struct{})}
	go func() {
		defer close(p.served)
		s.ServeConn(context.Background(), conn, nil)
	}()
	return p
}

// send sends what there is, and waits until the server waits.
func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.t.Fatalf("sending %.40q: %v", text, err)
	}
	synctest.Wait()
}

// read reads an answer to a request of that method, with its body.
func (p *peer) read(method string) (*http.Response, string) {
	p.t.Helper()
	answer, err := http.ReadResponse(p.answer, &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("reading an answer: %v", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatalf("reading an answer's body: %v", err)
	}
	return answer, string(body)
}

// rest is all that comes until the server ends the connection. It sends nothing more.
func (p *peer) rest() string {
	p.t.Helper()
	all, err := io.ReadAll(p.answer)
	if err != nil {
		p.t.Fatalf("reading to the end: %v", err)
	}
	return string(all)
}

// ask sends a request, and returns all that comes until the connection ends; the client ends it when there is nothing to do.
func (s *site) ask(text string) string {
	p := s.dial()
	p.send(text)
	_ = p.CloseWrite()
	all := p.rest()
	_ = p.Close()
	<-p.served
	return all
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+string(body))
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// withoutDate is the text of answers, with line feeds alone, and without their Date.
func withoutDate(head string) string {
	lines := strings.Split(head, "\r\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "Date: ") }), "\n")
}

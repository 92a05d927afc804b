package edge

import (
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// memory is a listener whose connections are in memory, so that their deadlines
// follow the clock of a synctest bubble.
type memory struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newMemory() *memory {
	return &memory{incoming: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.incoming:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr implements net.Listener.
func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (m *memory) dial() (net.Conn, error) {
	there, back := newStream(), newStream()
	select {
	case m.incoming <- &memoryConn{in: there, out: back}:
		return &memoryConn{in: back, out: there}, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// memoryConn is one end of a connection.
type memoryConn struct{ in, out *stream }

func (c *memoryConn) Read(p []byte) (int, error)  { return c.in.read(p) }
func (c *memoryConn) Write(p []byte) (int, error) { return c.out.write(p) }
func (c *memoryConn) LocalAddr() net.Addr         { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (c *memoryConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

func (c *memoryConn) Close() error {
	c.in.change(func(s *stream) { s.unread = true })
	c.out.change(func(s *stream) { s.ended = true })
	return nil
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

// startInMemory is start in a synctest bubble.
func startInMemory(t *testing.T, handler http.HandlerFunc, change func(*Options)) *site {
	t.Helper()
	// A connection is read on behind its last answer, and the clock of a bubble ends with its test.
	t.Cleanup(func() { <-time.After(20 * time.Second) })
	return startOn(t, []net.Listener{newMemory()}, []net.Listener{newMemory()}, handler, change)
}

// Package conntest has connections in memory for the tests of servers, in the place of sockets, whose deadlines a synctest bubble
// would not know.
//
// It stands on floor 0. Only tests import it.
package conntest

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// Conn is one end of a connection in memory, whose deadlines follow the clock of a synctest bubble.
type Conn struct{ in, out *stream }

// Pipe is both ends of a connection.
func Pipe() (client, server *Conn) {
	there, back := newStream(), newStream()
	return &Conn{in: back, out: there}, &Conn{in: there, out: back}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements net.Conn.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2} }

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.in.change(func(s *stream) { s.unread = true })
	return c.CloseWrite()
}

// CloseWrite ends what is written.
func (c *Conn) CloseWrite() error {
	c.out.change(func(s *stream) { s.ended = true })
	return nil
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.change(func(s *stream) { s.reading.set(t) })
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error {
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

package edge

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxConnections is how many connections listeners have at a time where nobody says: half of
// the files that the process may open, as each may need another to its upstream.
// More wait in the queue of the kernel.
func maxConnections() int {
	const most = 1 << 20
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return most
	}
	return int(max(min(files.Cur/2, most), 1))
}

// boundedListener is a listener of so many connections at a time, which have a timeout for each
// write: a slow reader (slow read attack) would otherwise hold a request, and its
// connection to the upstream, for ever.
type boundedListener struct {
	net.Listener
	timeout   time.Duration
	keepAlive time.Duration // of TCP's keep-alive; 0 for what Go does, negative for none
	slots     chan struct{} // one is taken by each connection, of other listeners too
	done      chan struct{} // closed with the listener
	once      sync.Once
}

func newBoundedListener(l net.Listener, slots chan struct{}, timeout, probe time.Duration) *boundedListener {
	return &boundedListener{Listener: l, timeout: timeout, keepAlive: probe, slots: slots, done: make(chan struct{})}
}

// Accept implements net.Listener. It waits until there may be another connection.
func (b *boundedListener) Accept() (net.Conn, error) {
	select {
	case b.slots <- struct{}{}:
	case <-b.done:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.slots
		return nil, err
	}
	b.setKeepAlive(c)
	return &boundedConn{Conn: c, listener: b}, nil
}

// setKeepAlive has TCP ask whether the other side is there, when nothing has been said for so long, and then at the usual interval.
func (b *boundedListener) setKeepAlive(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok && b.keepAlive != 0 {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: b.keepAlive > 0, Idle: b.keepAlive}) // of a connection that has gone already
	}
}

// Close implements net.Listener.
func (b *boundedListener) Close() error {
	b.once.Do(func() { close(b.done) })
	return b.Listener.Close()
}

type boundedConn struct {
	net.Conn
	listener    *boundedListener
	once        sync.Once
	hasDeadline atomic.Bool  // an explicit write deadline is set, which takes precedence
	until       atomic.Int64 // the write deadline in nanoseconds since 1970; 0 for none
}

// Write implements net.Conn. It is given TLS records, 16 KiB at most. The deadline is set anew when a quarter of the timeout has
// passed, so that what one write has is at least the rest.
func (c *boundedConn) Write(p []byte) (int, error) {
	if !c.hasDeadline.Load() {
		now := time.Now()
		if end := now.Add(c.listener.timeout); end.UnixNano()-c.until.Load() > int64(c.listener.timeout/4) {
			if err := c.Conn.SetWriteDeadline(end); err != nil {
				return 0, err
			}
			c.until.Store(end.UnixNano())
		}
	}
	return c.Conn.Write(p)
}

// CloseWrite ends what is written (TCP FIN).
func (c *boundedConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.once.Do(func() { <-c.listener.slots })
	return c.Conn.Close()
}

// SetWriteDeadline implements net.Conn.
func (c *boundedConn) SetWriteDeadline(t time.Time) error {
	c.hasDeadline.Store(!t.IsZero())
	c.until.Store(0)
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *boundedConn) SetDeadline(t time.Time) error {
	c.hasDeadline.Store(!t.IsZero())
	c.until.Store(0)
	return c.Conn.SetDeadline(t)
}

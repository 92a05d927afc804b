package edge

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// maxConnections is how many connections one listener has at a time: half of
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

// writeTimeoutListener is a listener whose connections have a timeout for each
// write: a slow reader (slow read attack) would otherwise hold a request, and its
// connection to the upstream, for ever.
type writeTimeoutListener struct {
	net.Listener
	timeout time.Duration
}

// Accept implements net.Listener.
func (p writeTimeoutListener) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &writeTimeoutConn{Conn: c, timeout: p.timeout}, nil
}

type writeTimeoutConn struct {
	net.Conn
	timeout     time.Duration
	hasDeadline atomic.Bool // an explicit write deadline is set, which takes precedence
}

// Write implements net.Conn. It is given TLS records, 16 KiB at most.
func (c *writeTimeoutConn) Write(p []byte) (int, error) {
	if !c.hasDeadline.Load() {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline implements net.Conn.
func (c *writeTimeoutConn) SetWriteDeadline(t time.Time) error {
	c.hasDeadline.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *writeTimeoutConn) SetDeadline(t time.Time) error {
	c.hasDeadline.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

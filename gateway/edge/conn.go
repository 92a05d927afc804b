package edge

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

// bounded is the listener with everything that bounds its connections.
func (s *Server) bounded(l net.Listener) net.Listener {
	return proxied(netutil.LimitListener(patient{l, writePatience}, maxConnections()), s.opts.TrustedProxies)
}

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

// patient is a listener whose connections end when the client leaves what it is
// sent lying for too long: a client that does not read would otherwise hold a
// request, and its connection to the upstream, for ever.
type patient struct {
	net.Listener
	patience time.Duration
}

// Accept implements net.Listener.
func (p patient) Accept() (net.Conn, error) {
	c, err := p.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &patientConn{Conn: c, patience: p.patience}, nil
}

type patientConn struct {
	net.Conn
	patience time.Duration
	deadline atomic.Bool // somebody has set one for writing, which then counts
}

// Write implements net.Conn. It is of pieces of 16 KiB at most, TLS records.
func (c *patientConn) Write(p []byte) (int, error) {
	if !c.deadline.Load() {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.patience)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}

// SetWriteDeadline implements net.Conn.
func (c *patientConn) SetWriteDeadline(t time.Time) error {
	c.deadline.Store(!t.IsZero())
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *patientConn) SetDeadline(t time.Time) error {
	c.deadline.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

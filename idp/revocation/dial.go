package revocation

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// maxReply is how much is read in answer to one command. Ours are answered by far less; but what others put into Redis
// is as large as they like.
const maxReply = 16 << 20

var errReply = errors.New("the answer is larger than 16 MiB")

// dialer returns what connects to Redis within timeout, with TLS where a configuration is given.
func dialer(secure *tls.Config, timeout time.Duration) func(ctx context.Context, network, address string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: timeout}
	dial := plain.DialContext
	if secure != nil {
		dial = (&tls.Dialer{NetDialer: plain, Config: secure}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		bounded := &boundedConn{Conn: conn}
		if raw, ok := conn.(syscall.Conn); ok {
			return struct {
				*boundedConn
				syscall.Conn // by which the pool notices connections that have ended
			}{bounded, raw}, nil
		}
		return bounded, nil
	}
}

// A boundedConn fails when what is read since the last write is too much.
type boundedConn struct {
	net.Conn
	remaining atomic.Int64
}

func (c *boundedConn) Write(b []byte) (int, error) {
	c.remaining.Store(maxReply)
	return c.Conn.Write(b)
}

func (c *boundedConn) Read(b []byte) (int, error) {
	left := c.remaining.Load()
	if left <= 0 {
		return 0, errReply
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.remaining.Add(int64(-n))
	return n, err
}

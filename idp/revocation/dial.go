package revocation

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// maxReply is how much is read in answer to one command. Ours are answered by far less; but what others put into Redis
// is as large as they like.
const maxReply = 16 << 20

// greetingTimeout bounds the wait for what a server said before it ended the connection: it is here already, or not at all.
const greetingTimeout = 50 * time.Millisecond

var errReply = errors.New("the answer is larger than 16 MiB")

// What may come from a server in place of its first answer.
var (
	errProtected   = errors.New("DENIED")
	errSpeaksTLS   = errors.New("it answers with an alert of TLS")
	errSpeaksHTTP  = errors.New("it answers in HTTP")
	errNoHandshake = errors.New("it does not answer the handshake of TLS")
	errNoAnswer    = errors.New("it ended the connection without an answer")
)

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
			return nil, handshakeError(secure, err)
		}
		bounded := newBoundedConn(conn)
		if raw, ok := conn.(syscall.Conn); ok {
			return struct {
				*boundedConn
				syscall.Conn // by which the pool notices connections that have ended
			}{bounded, raw}, nil
		}
		return bounded, nil
	}
}

// handshakeError is an error of dialling, and says so where it is the handshake of TLS that was not answered: a server without
// TLS may take its bytes for the beginning of a command, and wait for more.
func handshakeError(secure *tls.Config, err error) error {
	var operation *net.OpError
	if dialling := errors.As(err, &operation) && operation.Op == "dial"; secure == nil || dialling {
		return err
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%w: %w", errNoHandshake, err)
	}
	return err
}

// A boundedConn fails when what is read since the last write is too much, and for good where what comes first is no answer of
// Redis: the library looks for messages before it writes, and does not tell what it finds there instead.
type boundedConn struct {
	net.Conn
	remaining   atomic.Int64
	hasRead     atomic.Bool           // something was read
	protocolErr atomic.Pointer[error] // what came first; nil while that may be Redis
}

// maxGreeting is how much is read before anything was asked.
const maxGreeting = 4 << 10

func newBoundedConn(conn net.Conn) *boundedConn {
	c := &boundedConn{Conn: conn}
	c.remaining.Store(maxGreeting)
	return c
}

func (c *boundedConn) Write(b []byte) (int, error) {
	if unexpected := c.protocolErr.Load(); unexpected != nil {
		return 0, *unexpected
	}
	c.remaining.Store(maxReply)
	n, err := c.Conn.Write(b)
	if err != nil && !c.hasRead.Load() && c.SetReadDeadline(time.Now().Add(greetingTimeout)) == nil {
		// Who refuses every client says why and hangs up before it is asked anything. What was said is still there.
		if _, last := c.Read(make([]byte, 64)); last != nil && c.protocolErr.Load() != nil {
			err = last
		}
	}
	return n, err
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if unexpected := c.protocolErr.Load(); unexpected != nil {
		return 0, *unexpected
	}
	left := c.remaining.Load()
	if left <= 0 {
		return 0, errReply
	}
	n, err := c.Conn.Read(b[:min(int64(len(b)), left)])
	c.remaining.Add(int64(-n))
	if !c.hasRead.Load() {
		if unexpected := checkGreeting(b[:n], err); unexpected != nil {
			c.protocolErr.Store(&unexpected)
			return 0, unexpected
		}
		c.hasRead.Store(n > 0)
	}
	return n, err
}

// checkGreeting says what the first bytes of a connection are, or its end without any, when they are no answer of Redis to a
// client that it serves.
func checkGreeting(b []byte, err error) error {
	switch {
	case bytes.HasPrefix(b, []byte("-DENIED")):
		return errProtected
	case len(b) > 1 && b[0] == 0x15 && b[1] == 3: // an alert of TLS (RFC 8446, section 5.1)
		return errSpeaksTLS
	case bytes.HasPrefix(b, []byte("HTTP/")):
		return errSpeaksHTTP
	case len(b) == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return nil
}

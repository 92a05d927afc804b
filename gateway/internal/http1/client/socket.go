package client

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// unixPrefix begins the address of a Unix socket; its path follows.
const unixPrefix = "unix:"

// stream is what is said on a connection.
type stream interface {
	net.Conn
	CloseWrite() error
}

// socket is a connection of TCP or to a Unix socket. One goroutine reads it, one may write beside it; Close is for any.
type socket struct {
	net.Conn
	raw         syscall.RawConn
	pause       func() // called before a read waits; nil for nobody. The reader's
	nonBlocking bool   // a read that would wait is errWouldWait. The reader's
	ended       bool   // the other side has closed it. The reader's

	// tryRead reads without waiting into into, as raw calls it: it sets got and err. peek looks only.
	tryRead, peek func(fd uintptr) bool
	into          []byte
	got           int
	err           error
}

// waitError is the error of a read that would wait. TLS takes what is temporary for no end.
type waitError struct{}

func (waitError) Error() string   { return "client: nothing to read" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

var errWouldWait error = waitError{}

// begin sends what comes first on a connection, which waits for nothing on a new one; it closes the socket where that fails. The error
// is a net.OpError whose Op is "dial".
func (s *socket) begin(ctx context.Context, preface []byte) error {
	if len(preface) == 0 {
		return nil
	}
	if until, ok := ctx.Deadline(); ok {
		_ = s.SetWriteDeadline(until) // a closed socket fails to write
	}
	if _, err := s.Write(preface); err != nil {
		_ = s.Close()
		return &net.OpError{Op: "dial", Net: s.RemoteAddr().Network(), Addr: s.RemoteAddr(), Err: fmt.Errorf("PROXY header: %w", err)}
	}
	_ = s.SetWriteDeadline(time.Time{})
	return nil
}

// dialSocket connects to the address of a Key. The error is a net.OpError whose Op is "dial".
func dialSocket(ctx context.Context, key Key) (*socket, error) {
	dialer, address := &net.Dialer{KeepAlive: key.TCPKeepAlive}, key.Address
	var conn net.Conn
	var err error
	if path, isUnix := strings.CutPrefix(address, unixPrefix); isUnix {
		conn, err = dialer.DialContext(ctx, "unix", path)
	} else {
		conn, err = dialAny(ctx, dialer, strings.Split(address, addressSeparator))
	}
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn}
	if s.raw, err = conn.(syscall.Conn).SyscallConn(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("client: %w", err)
	}
	s.tryRead = func(fd uintptr) bool {
		s.got, s.err = syscall.Read(int(fd), s.into)
		return true
	}
	s.peek = func(fd uintptr) bool {
		var b [1]byte
		s.got, _, s.err = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	}
	return s, nil
}

// wouldBlock reports whether nothing can be read.
func (s *socket) wouldBlock() bool {
	err := s.raw.Read(s.peek)
	return err == nil && s.err == syscall.EAGAIN
}

// readNonBlocking reads without waiting from what stands on the socket; errWouldWait where there is nothing, nil where there is something.
func (s *socket) readNonBlocking(above stream) error {
	var b [1]byte
	s.nonBlocking = true
	n, err := above.Read(b[:])
	s.nonBlocking = false
	if n > 0 {
		return nil
	}
	return err
}

// Read implements io.Reader.
func (s *socket) Read(p []byte) (int, error) {
	if s.pause != nil || s.nonBlocking {
		s.into = p
		err := s.raw.Read(s.tryRead)
		s.into = nil
		switch {
		case err != nil:
		case s.err == syscall.EAGAIN && s.nonBlocking:
			return 0, errWouldWait
		case s.err == syscall.EAGAIN:
			s.pause()
		case s.err == nil && s.got > 0:
			return s.got, nil
		case s.err == nil:
			s.ended = true
			return 0, io.EOF
		case s.err != syscall.EINTR: // a reset is said once: the next read would find the end
			return 0, os.NewSyscallError("read", s.err)
		}
	}
	n, err := s.Conn.Read(p)
	s.ended = s.ended || err == io.EOF
	return n, err
}

// CloseWrite implements stream.
func (s *socket) CloseWrite() error { return s.Conn.(interface{ CloseWrite() error }).CloseWrite() }

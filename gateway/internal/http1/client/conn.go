package client

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// The buffers that connections read into: the first, and the one for what is longer.
const (
	smallBuffer = 4 << 10
	largeBuffer = 32 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// takeBuffer lends a buffer of at least so many bytes.
func takeBuffer(size int) []byte {
	switch {
	case size <= smallBuffer:
		return smallBuffers.Get().(*[smallBuffer]byte)[:]
	case size <= largeBuffer:
		return largeBuffers.Get().(*[largeBuffer]byte)[:]
	}
	return make([]byte, size)
}

// giveBuffer takes a buffer back, of which nothing is used any more.
func giveBuffer(b []byte) {
	switch cap(b) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(b[:smallBuffer]))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(b[:largeBuffer]))
	}
}

// errTooMuch is the error of a fill beyond what the buffer may grow to.
var errTooMuch = errors.New("client: more than may be buffered")

// conn is a connection to an upstream. One goroutine owns it at a time; close alone is called from others.
type conn struct {
	socket    *socket
	stream    stream // what is read and written: the socket, or TLS over it
	buffer    []byte // nil while it is idle
	start     int    // what is buffered and was not taken is buffer[start:end]
	end       int
	answered  bool      // something was ever read
	reused    bool      // it has served a request before
	idleSince time.Time // when it was put into the pool last
}

// dial opens a connection, within the timeout with the handshake of TLS, before which preface is sent. The error is a net.OpError
// whose Op is "dial".
func dial(ctx context.Context, key Key, timeout time.Duration, preface []byte) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	s, secured, err := connect(ctx, key, preface)
	switch {
	case err != nil:
		return nil, err
	case secured != nil:
		return &conn{socket: s, stream: secured}, nil
	}
	return &conn{socket: s, stream: s}, nil
}

// Dial opens a connection for who speaks another protocol on it; in TLS it is a tls.Conn. The error is a net.OpError whose Op is "dial".
func Dial(ctx context.Context, key Key) (net.Conn, error) {
	s, secured, err := connect(ctx, key, nil)
	switch {
	case err != nil:
		return nil, err
	case secured != nil:
		return secured, nil
	}
	return s.Conn, nil
}

// close closes the connection; any goroutine may call it, at any time, again too. It waits for nothing, and says nothing in TLS.
func (c *conn) close() { _ = c.socket.Close() } // what it says of a connection that has gone is of no use

// isReusable reports whether nothing was sent or closed on an idle connection.
func (c *conn) isReusable() bool {
	if !c.socket.wouldBlock() {
		return false
	}
	if c.stream == stream(c.socket) {
		return true
	}
	return c.socket.readNonBlocking(c.stream) == errWouldWait // nor is anything left in what TLS has read already
}

// buffered is what was read and not taken.
func (c *conn) buffered() []byte { return c.buffer[c.start:c.end] }

// take takes so many bytes of what is buffered.
func (c *conn) take(n int) []byte {
	b := c.buffer[c.start : c.start+n]
	c.start += n
	return b
}

// detach has what was taken stay good: it is left the buffer, and what was not taken goes on in another one.
func (c *conn) detach() {
	held := c.buffered()
	c.buffer = takeBuffer(len(c.buffer))
	c.start, c.end = 0, copy(c.buffer, held)
}

// release gives the buffer back.
func (c *conn) release() {
	giveBuffer(c.buffer)
	c.buffer, c.start, c.end = nil, 0, 0
}

// fill reads more behind what is buffered, of which there may be so many bytes in all. Where it has to wait, it calls pause
// before, unless that is nil.
func (c *conn) fill(most int, pause func()) error {
	if c.start == c.end {
		// What has filled the buffer to its end comes in large pieces.
		if wasFull := c.end == len(c.buffer); wasFull && len(c.buffer) < largeBuffer {
			size := smallBuffer
			if len(c.buffer) > 0 {
				size = largeBuffer
			}
			giveBuffer(c.buffer)
			c.buffer = takeBuffer(size)
		}
		c.start, c.end = 0, 0
	}
	if c.end == len(c.buffer) {
		held := c.buffered()
		if len(held) >= most {
			return errTooMuch
		}
		to := c.buffer
		if len(held) > len(c.buffer)/2 {
			to = takeBuffer(2 * len(c.buffer))
		}
		c.start, c.end = 0, copy(to, held)
		if &to[0] != &c.buffer[0] {
			giveBuffer(c.buffer)
			c.buffer = to
		}
	}
	n, err := c.read(c.buffer[c.end:], pause)
	c.end += n
	if n > 0 {
		c.answered = true
		return nil
	}
	return err
}

func (c *conn) read(p []byte, pause func()) (int, error) {
	c.socket.pause = pause
	n, err := c.stream.Read(p)
	c.socket.pause = nil
	if n > 0 {
		err = nil // it comes again
	}
	return n, err
}

// endsAnswer reports whether the end of the connection ends an answer that has no other (RFC 9112, section 9.8): in TLS the upstream
// has to say so, else anybody on the way could cut the answer off.
func (c *conn) endsAnswer() bool { return c.stream == stream(c.socket) || !c.socket.ended }

package server

import (
	"net"
	"sync"
	"time"
)

// expired is a deadline that has passed.
var expired = time.Unix(1, 0)

// inputBuffer is how much of a connection is read at a time, in bytes. A head that is longer has a buffer of its own.
const inputBuffer = 4 << 10

var inputBuffers = sync.Pool{New: func() any { return new([inputBuffer]byte) }}

// input is what a connection has read and nobody has taken. It has a buffer while there is a request. It is owned by one
// goroutine at a time: the connection's, or that which reads a body.
type input struct {
	conn   net.Conn
	buffer []byte             // nil while the connection is idle
	pooled *[inputBuffer]byte // that buffer is, or nil
	start  int                // buffer[start:end] is unread
	end    int
	first  [1]byte // what is read without a buffer
}

// unread is what is there.
func (in *input) unread() []byte { return in.buffer[in.start:in.end] }

// take takes so many bytes of what is there.
func (in *input) take(n int) {
	if in.start += n; in.start == in.end {
		in.start, in.end = 0, 0
	}
}

// await waits for the first byte of a request, and passes over an empty line before it (RFC 9112, section 2.2).
func (in *input) await() error {
	if err := in.wait(); err != nil || in.unread()[0] != '\r' {
		return err
	}
	for len(in.unread()) < 2 {
		if err := in.fill(inputBuffer); err != nil {
			return err
		}
	}
	if in.unread()[1] != '\n' {
		return nil
	}
	in.take(2)
	return in.wait()
}

// wait waits for a byte, without a buffer, where there is none.
func (in *input) wait() error {
	if in.start < in.end {
		return nil
	}
	in.release()
	n, err := readSome(in.conn, in.first[:])
	if n > 0 {
		in.push()
		return nil
	}
	return err
}

// push puts the byte that was read without a buffer into one.
func (in *input) push() {
	in.acquire()
	in.start, in.end = 0, copy(in.buffer, in.first[:])
}

func (in *input) acquire() {
	if in.buffer == nil {
		in.pooled = inputBuffers.Get().(*[inputBuffer]byte)
		in.buffer = in.pooled[:]
	}
}

// release gives the buffer back.
func (in *input) release() {
	if in.pooled != nil {
		inputBuffers.Put(in.pooled)
	}
	in.buffer, in.pooled, in.start, in.end = nil, nil, 0, 0
}

// fill reads more behind what is there, of which there may be so many bytes. It waits for the client.
func (in *input) fill(most int) error {
	in.acquire()
	switch {
	case in.end < len(in.buffer):
	case in.start > 0:
		in.start, in.end = 0, copy(in.buffer, in.unread())
	default:
		longer := make([]byte, min(max(most, inputBuffer), 4*len(in.buffer)))
		n := copy(longer, in.unread())
		in.release()
		in.buffer, in.end = longer, n
	}
	n, err := readSome(in.conn, in.buffer[in.end:])
	if in.end += n; n > 0 {
		return nil
	}
	return err
}

// readSome reads until there is something, or an error.
func readSome(from net.Conn, p []byte) (n int, err error) {
	for n == 0 && err == nil {
		n, err = from.Read(p)
	}
	return n, err
}

package client

import (
	"cmp"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// Upload is a request's body.
type Upload struct {
	// Body is read by one goroutine, which is another than the one that asks, until Close of the exchange returns.
	Body io.Reader
	// Length is in bytes; negative where it is not known: the body is chunked.
	Length int64
	// Trailer are the fields behind a chunked body that has ended. Optional.
	Trailer func() field.List
	// Expect has the body wait until the upstream asks for it (RFC 9110, section 10.1.1), or a second has passed.
	Expect bool
	// Interrupt ends a read of Body that waits. It is called where nobody takes the rest.
	Interrupt func()

	timeout time.Duration // in place of expectTimeout and lastWriteTimeout: tests give a busy machine more
}

// expectTimeout is how long a body waits for 100 Continue.
const expectTimeout = time.Second

// lastWriteTimeout is how long the last piece of a body may take when the answer has ended.
const lastWriteTimeout = 50 * time.Millisecond

var errShortBody = errors.New("client: a request's body ended before its length")

// upload is a body on its way.
type upload struct {
	*Upload
	conn      *conn
	writing   func()        // called before each write
	continued chan struct{} // closed when the upstream asks for the body; nil where it does not have to
	answered  chan struct{} // closed when it has answered instead, or nothing is sent any more; likewise
	read      atomic.Bool   // the body has ended
	done      chan struct{} // closed at the end
	whole     bool          // all was sent; read after done
}

func newUpload(u *Upload, c *conn, writing func()) *upload {
	sending := &upload{Upload: u, conn: c, writing: writing, done: make(chan struct{})}
	if u.Expect {
		sending.continued, sending.answered = make(chan struct{}), make(chan struct{})
	}
	return sending
}

// run sends the body. It calls sent when it was sent whole, and failed where the body could not be read, or is not taken.
func (u *upload) run(sent func(), failed func(error)) {
	defer close(u.done)
	if !u.awaitContinue() {
		return
	}
	readErr, writeErr := u.send()
	switch {
	case readErr != nil:
		failed(readErr)
	case errors.Is(writeErr, os.ErrDeadlineExceeded):
		failed(writeErr)
	case writeErr == nil: // else who reads the answer finds out
		u.whole = true
		sent()
	}
}

// awaitContinue waits until the body may be sent, and reports whether it may.
func (u *upload) awaitContinue() bool {
	if u.continued == nil {
		return true
	}
	timer := time.NewTimer(cmp.Or(u.timeout, expectTimeout))
	defer timer.Stop()
	select {
	case <-u.continued:
	case <-timer.C:
	case <-u.answered:
		return false
	}
	return true
}

// proceed has the body sent that waits for it.
func (u *upload) proceed() {
	if u != nil && u.continued != nil && !isClosed(u.continued) {
		close(u.continued)
	}
}

// withdraw has the body not sent that still waits.
func (u *upload) withdraw() {
	if u != nil && u.answered != nil && !isClosed(u.answered) {
		close(u.answered)
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// send reads and writes until the body has ended.
func (u *upload) send() (readErr, writeErr error) {
	buffer := takeBuffer(largeBuffer)
	defer giveBuffer(buffer)
	for left := u.Length; ; {
		n, err := u.Body.Read(buffer[http1.ChunkPrefix : len(buffer)-2])
		piece := buffer[http1.ChunkPrefix : http1.ChunkPrefix+n]
		if u.Length >= 0 {
			if piece = piece[:min(int64(n), left)]; err == io.EOF && int64(n) < left {
				err = errShortBody
			}
			left -= int64(len(piece))
			if left == 0 {
				err = io.EOF
			}
		}
		if err == io.EOF {
			u.read.Store(true)
		}
		if writeErr = u.write(buffer, piece, err == io.EOF); writeErr != nil || err == io.EOF {
			return nil, writeErr
		}
		if err != nil {
			return err, nil
		}
	}
}

// write writes a piece of the body, which is in the buffer with room for a chunk's line before and its end behind it.
func (u *upload) write(buffer, piece []byte, last bool) error {
	if u.Length >= 0 {
		if len(piece) == 0 {
			return nil
		}
		u.writing()
		_, err := u.conn.stream.Write(piece)
		return err
	}
	begin, end := http1.ChunkPrefix, http1.ChunkPrefix+len(piece)
	if len(piece) > 0 {
		var line [http1.ChunkPrefix]byte
		size := http1.AppendChunkSize(line[:0], len(piece))
		begin -= len(size)
		copy(buffer[begin:], size)
		end += copy(buffer[end:], "\r\n")
	}
	out := buffer[begin:end]
	if last {
		var trailer field.List
		if u.Trailer != nil {
			trailer = u.Trailer()
		}
		var err error
		if out, err = http1.AppendFields(append(out[:len(out):len(out)], "0\r\n"...), trailer); err != nil {
			return err
		}
	}
	if len(out) == 0 {
		return nil
	}
	u.writing()
	_, err := u.conn.stream.Write(out)
	return err
}

// end ends the sending, if it has not ended, and reports whether all was sent. abort ends a write that waits.
func (u *upload) end(abort func()) bool {
	if u == nil {
		return true
	}
	if !isClosed(u.done) && u.read.Load() {
		timer := time.NewTimer(cmp.Or(u.timeout, lastWriteTimeout))
		defer timer.Stop()
		select {
		case <-u.done:
		case <-timer.C:
		}
	}
	if !isClosed(u.done) {
		abort()
		u.withdraw()
		u.Interrupt()
		<-u.done
	}
	return u.whole
}

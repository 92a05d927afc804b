package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// maxDiscarded is how much of a body may be left, in bytes, for its connection to have another request.
const maxDiscarded = 256 << 10

// body is a request's body. One goroutine reads it, which may be another than the handler's; any may interrupt it. A nil body has
// ended.
type body struct {
	input     *input
	output    *output
	watch     *watch
	timeout   time.Duration // Limits.BodyTime
	trailer   http.Header   // that is announced: its values come with the end; nil for none
	chunks    *http1.Chunks // nil where the length is known
	remaining int64         // bytes, where it is
	rate      int64         // bytes a second at which it has to arrive; 0 for any
	credit    time.Duration // how long the next read may take, with a rate
	pending   []byte        // of the last chunk; a part of the input

	mu       sync.Mutex
	idle     *sync.Cond // nobody reads
	reading  bool       // guarded by mu
	begun    bool       // guarded by mu: it is read, or will be while the answer is written
	left     bool       // guarded by mu: the handler has returned, and nobody but the connection reads what is left
	expects  bool       // guarded by mu: 100 (Continue) is due before the first byte
	deadline time.Time  // guarded by mu: which the handler has set
	err      error      // guarded by mu: of every further read; io.EOF at the end
}

// newBody is a body of so many bytes, or Chunked.
func newBody(length int64, expects bool, l *Limits) *body {
	b := &body{remaining: length, expects: expects, timeout: l.BodyTime}
	b.idle = sync.NewCond(&b.mu)
	if length == http1.Chunked {
		b.chunks = &http1.Chunks{}
	} else if l.BodyMinRate > 0 {
		b.rate, b.credit = l.BodyMinRate, l.BodyTime
	}
	return b
}

// Read implements io.Reader. The error of a client that is too slow is an os.ErrDeadlineExceeded, and so is that of a read that
// Interrupt has ended.
func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	expects, err := b.beginRead()
	if err != nil {
		return 0, err
	}
	if expects {
		err = b.output.sendContinue()
	}
	n := 0
	if err == nil {
		n, err = b.read(p)
	}
	b.endRead(err)
	return n, err
}

func (b *body) beginRead() (expects bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.left:
		return false, http.ErrBodyReadAfterClose
	case b.err != nil:
		return false, b.err
	}
	expects, b.expects = b.expects, false
	b.reading, b.begun = true, true
	return expects, nil
}

func (b *body) endRead(err error) {
	if err == io.EOF {
		b.watch.bodyHasEnded() // before anybody can see it: it could else be in the middle of the next request's
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	if err != nil && b.err == nil {
		b.err = err
	}
	b.idle.Broadcast()
}

// read reads what there is, or waits for more.
func (b *body) read(p []byte) (int, error) {
	if b.chunks != nil {
		return b.readChunks(p)
	}
	if b.remaining == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), b.remaining)]
	in := b.input
	n := copy(p, in.unread())
	in.take(n)
	if n == 0 {
		var err error
		if n, err = b.wait(func() (int, error) { return readSome(b.input.conn, p) }); n == 0 && err != nil {
			return 0, cutOff(err)
		}
	}
	if b.remaining -= int64(n); b.remaining == 0 {
		return n, io.EOF
	}
	return n, nil
}

// readChunks is read of a chunked body.
func (b *body) readChunks(p []byte) (int, error) {
	in := b.input
	for len(b.pending) == 0 {
		n, data, err := b.chunks.Next(in.unread())
		if err != nil {
			return 0, err
		}
		in.take(n)
		b.pending = data
		switch {
		case len(data) > 0:
		case b.chunks.Done():
			b.setTrailer()
			return 0, io.EOF
		case n == 0:
			if _, err := b.wait(func() (int, error) { return 0, in.fill(http1.MaxTrailerBytes + inputBuffer) }); err != nil {
				return 0, cutOff(err)
			}
		}
	}
	n := copy(p, b.pending)
	b.pending = b.pending[n:]
	return n, nil
}

func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// wait reads from the connection, within the time that the client has.
func (b *body) wait(read func() (int, error)) (int, error) {
	began := time.Now()
	if err := b.setDeadline(began); err != nil {
		return 0, err
	}
	n, err := read()
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		b.watch.abandon() // the client has gone
	}
	if b.rate > 0 {
		earned := time.Duration(n) * time.Second / time.Duration(b.rate)
		b.credit = min(b.credit-time.Since(began)+earned, b.timeout)
	}
	return n, err
}

// setDeadline sets the deadline of a read. The error is that of an interruption.
func (b *body) setDeadline(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	deadline := b.deadline
	if b.rate > 0 {
		if slow := now.Add(b.credit); deadline.IsZero() || slow.Before(deadline) {
			deadline = slow
		}
	}
	return b.input.conn.SetReadDeadline(deadline)
}

// setTrailer adds the fields behind the body to the request, where it has announced any.
func (b *body) setTrailer() {
	for _, f := range b.chunks.Trailer {
		if b.trailer != nil && !field.FramesMessage(f.Name) {
			b.trailer.Add(f.Name, f.Value)
		}
	}
}

// SetReadDeadline sets the deadline of a read that waits, and of all that follow.
func (b *body) SetReadDeadline(t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left {
		return nil
	}
	b.deadline = t
	if b.reading {
		return b.input.conn.SetReadDeadline(t)
	}
	return nil
}

// Interrupt ends the reading of the body: a read that waits for the client, and every further one. Any goroutine may call it, at
// any time.
func (b *body) Interrupt() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = http.ErrBodyReadAfterClose
	}
	if b.reading {
		return b.input.conn.SetReadDeadline(expired)
	}
	return nil
}

// Abort is Interrupt where the connection is to end with the request: of the rest of the body nothing is read.
func (b *body) Abort() error {
	b.mu.Lock()
	b.err = errAborted
	b.mu.Unlock()
	return b.Interrupt()
}

var errAborted = errors.New("server: the request was aborted")

// Close implements io.Closer. Nothing more is read by the handler; whether the connection can have another request, finds out
// whoever serves it.
func (b *body) Close() error { return b.Interrupt() }

// end interrupts a body that is still read when the handler has returned, and waits until it is not.
func (b *body) end() {
	if b == nil {
		return
	}
	_ = b.Interrupt() // where it fails, the connection has ended
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.reading {
		b.idle.Wait()
	}
}

// ended reports whether the body was read to its end.
func (b *body) ended() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

// begin is called where the body will be read while the answer is written.
func (b *body) begin() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = true
}

// mayDiscard reports whether the connection may have another request: the body has ended, or nobody has begun to read it and so
// little is left that it can be read away. It is asked while another goroutine may read.
func (b *body) mayDiscard() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil && b.err != http.ErrBodyReadAfterClose { // which says nothing of what is left
		return b.err == io.EOF
	}
	return !b.begun && !b.expects && b.chunks == nil && b.remaining <= maxDiscarded
}

// discard reads away what the handler has left of the body, and is false where that does not come to its end.
func (b *body) discard() bool {
	b.mu.Lock()
	if b.err == errAborted {
		b.mu.Unlock()
		return false
	}
	b.left, b.err, b.deadline = true, nil, time.Now().Add(b.timeout)
	b.mu.Unlock()
	buffer := inputBuffers.Get().(*[inputBuffer]byte)
	defer inputBuffers.Put(buffer)
	for {
		if _, err := b.read(buffer[:]); err != nil {
			b.endRead(err)
			return err == io.EOF
		}
	}
}

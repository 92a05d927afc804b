package client

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/requestcontext"
)

// Request is what an upstream is asked. It can be sent again where it has no body.
type Request struct {
	Head     []byte  // the request line and the header, with its empty line
	Bodiless bool    // the answer has no body, whatever its header says (HEAD)
	Upgrade  string  // the protocol that is asked for; "" for none
	Upload   *Upload // nil: no body
	// HeaderTimeout is how long the answer's header may take when the request was sent, and until it has come, how long the
	// upstream may take none of the body; 0 for any time.
	HeaderTimeout time.Duration
	// Informational is told informational answers (1xx) but 100 and 101. Optional.
	Informational func(*http1.Head)
	// Fresh asks for a new connection.
	Fresh bool
	// Preface is what is sent first on a new connection, before TLS: a PROXY header. Optional.
	Preface []byte
}

// maxInformational is how many informational answers there may be before the final one.
const maxInformational = 256

// deadTimeout is how long an answer may take behind a head that could not be written: what has come already is there.
const deadTimeout = time.Second

// ClosedError says that a connection was closed before an answer began.
type ClosedError struct {
	Err    error
	First  bool // nothing had been answered on it before
	Reused bool // it has served a request before
}

func (e *ClosedError) Error() string { return e.Err.Error() }

func (e *ClosedError) Unwrap() error { return e.Err }

// Why an exchange ended before its time.
var (
	errStale    = errors.New("client: a kept connection was closed before anything was written")
	errAborted  = errors.New("client: aborted")
	errAnswered = errors.New("client: answered before the request was sent")
)

// Exchange is one request and its answer. It is owned by the goroutine that asks, which calls Close; Abort is for others.
type Exchange struct {
	Head http1.Head

	pool      *Pool
	key       Key
	conn      *conn
	request   *Request
	upload    *upload              // nil: none
	watch     requestcontext.Watch // of the context
	remaining int64                // of a body with a length
	chunks    http1.Chunks
	ended     bool // the answer has
	read      bool // something of it was
	closed    bool // Close was called

	mu       sync.Mutex
	cause    error // guarded by mu: why it was ended; its connection is closed
	released bool  // guarded by mu: its connection is another's
	headRead bool  // guarded by mu
}

// exchange sends the request and reads the answer's head. The error is errStale where nothing was written.
func exchange(ctx context.Context, p *Pool, key Key, c *conn, r *Request) (*Exchange, error) {
	x := &Exchange{pool: p, key: key, conn: c, request: r}
	x.watch.Begin(ctx, (*contextEnd)(x))
	err := x.start()
	if err == nil {
		return x, nil
	}
	x.mu.Lock()
	if x.cause != nil {
		err = x.cause
	}
	x.mu.Unlock()
	x.Close()
	return nil, err
}

// contextEnd ends an exchange with its context.
type contextEnd Exchange

// ContextEnded implements requestcontext.Follower.
func (x *contextEnd) ContextEnded(err error) { (*Exchange)(x).abort(err) }

func (x *Exchange) start() error {
	n, err := x.conn.stream.Write(x.request.Head)
	switch {
	case err != nil && n == 0 && x.conn.reused:
		return errStale
	case err != nil:
		_ = x.conn.stream.SetReadDeadline(time.Now().Add(deadTimeout)) // where it fails, so does the reading
	case x.request.Upload == nil:
		x.sent()
	default:
		x.upload = newUpload(x.request.Upload, x.conn, x.writing)
		go x.upload.run(x.sent, x.abort)
	}
	if failed := x.readHead(); failed != nil {
		if err != nil && !x.read {
			failed = err
		}
		return x.closedBy(failed)
	}
	if err != nil {
		x.Head.Close = true
	}
	return x.headEnded()
}

// closedBy says of an error of the connection whether an answer had begun.
func (x *Exchange) closedBy(err error) error {
	var timeout net.Error
	switch {
	case x.read && err == io.EOF:
		return io.ErrUnexpectedEOF
	case x.read, errors.As(err, &timeout) && timeout.Timeout():
		return err
	}
	return &ClosedError{Err: err, First: !x.conn.answered, Reused: x.conn.reused}
}

// writing is before a piece of the body is written: an upstream that reads nothing would else hold it for ever, and who waits for
// it, since nobody reads meanwhile whether the client is still there.
func (x *Exchange) writing() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.request.HeaderTimeout > 0 && !x.headRead {
		_ = x.conn.stream.SetWriteDeadline(time.Now().Add(x.request.HeaderTimeout)) // where it fails, so does the writing
	}
}

// sent is when the request was sent: now the answer may take so long.
func (x *Exchange) sent() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.request.HeaderTimeout > 0 && !x.headRead {
		_ = x.conn.stream.SetReadDeadline(time.Now().Add(x.request.HeaderTimeout)) // where it fails, so does the reading
	}
}

// headEnded is when the answer's head was read.
func (x *Exchange) headEnded() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.headRead = true
	if x.request.HeaderTimeout > 0 {
		return x.conn.stream.SetDeadline(time.Time{})
	}
	return nil
}

// readHead reads the head of the final answer.
func (x *Exchange) readHead() error {
	for range maxInformational {
		b, err := x.headBytes()
		if err != nil {
			return err
		}
		h, err := http1.ParseHead(b, x.request.Bodiless)
		switch {
		case err != nil:
			return err
		case h.Status == 101 && !x.switches(&h):
			return &http1.MalformedError{Reason: "101 for a protocol that was not asked for"}
		case h.Status == 101 || h.Status >= 200:
			x.upload.withdraw()
			x.Head, x.remaining = h, h.Length
			x.ended = h.Length == 0 && h.Status != 101
			return nil
		case h.Status == 100:
			x.upload.proceed()
		case x.request.Informational != nil:
			told := h // who is told may keep it
			x.request.Informational(&told)
		}
	}
	return &http1.MalformedError{Reason: "informational answers without an end"}
}

// headBytes reads one head. They are good until the next read.
func (x *Exchange) headBytes() ([]byte, error) {
	for seen := 0; ; {
		b := x.conn.buffered()
		if end := http1.HeadEnd(b, seen); end > 0 {
			return x.conn.take(end), nil
		}
		seen = len(b)
		err := x.conn.fill(http1.MaxHeadBytes, nil)
		if err == errTooMuch {
			return nil, http1.ErrTooLong
		}
		if err != nil {
			return nil, err
		}
		x.read = true
	}
}

// switches reports whether a 101 is for the protocol that was asked for, and for no other below it (RFC 9110, section 7.8).
func (x *Exchange) switches(h *http1.Head) bool {
	return x.request.Upgrade != "" && h.Fields.HasToken("Connection", "upgrade") &&
		h.Fields.Count("Upgrade") == 1 && field.Same(h.Fields.Get("Upgrade"), x.request.Upgrade)
}

// Next is the next piece of the answer's body, which is good until the next call; io.EOF where it has ended whole. Where it
// has to wait for the upstream, it calls pause before.
func (x *Exchange) Next(pause func()) ([]byte, error) {
	for {
		piece, err := x.piece()
		if err != nil || len(piece) > 0 {
			return piece, err
		}
		switch err := x.conn.fill(largeBuffer, pause); {
		case err == io.EOF && x.Head.Length == http1.UntilClose && x.conn.endsAnswer():
			x.ended = true
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err == errTooMuch:
			return nil, http1.ErrTooLong
		case err != nil:
			return nil, err
		}
	}
}

// Poll is Next without waiting for the upstream; ready is false where Next would wait.
func (x *Exchange) Poll() (piece []byte, ready bool, err error) {
	x.conn.socket.nonBlocking = true
	piece, err = x.Next(nil)
	x.conn.socket.nonBlocking = false
	if err == errWouldWait {
		return nil, false, nil
	}
	return piece, true, err
}

// piece takes what is buffered of the body; io.EOF at its end.
func (x *Exchange) piece() ([]byte, error) {
	if x.ended {
		return nil, io.EOF
	}
	b := x.conn.buffered()
	switch x.Head.Length {
	case http1.UntilClose:
		return x.conn.take(len(b)), nil
	case http1.Chunked:
		n, data, err := x.chunks.Next(b)
		if err != nil {
			return nil, err
		}
		x.conn.take(n)
		if x.ended = x.chunks.Done(); x.ended {
			return nil, io.EOF
		}
		return data, nil
	}
	piece := x.conn.take(int(min(x.remaining, int64(len(b)))))
	x.remaining -= int64(len(piece))
	x.ended = x.remaining == 0
	return piece, nil
}

// Keep leaves the piece that was returned last valid for good.
func (x *Exchange) Keep() { x.conn.detach() }

// Trailer are the fields behind the body, once it has ended.
func (x *Exchange) Trailer() field.List { return x.chunks.Trailer }

// Abort ends the exchange: whoever waits for the connection hears an error. Any goroutine may call it, at any time.
func (x *Exchange) Abort() { x.abort(errAborted) }

func (x *Exchange) abort(cause error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cause == nil && !x.released {
		x.cause = cause
		x.conn.close()
	}
}

// Complete reports whether the body's end is buffered behind what Next has returned, so that nothing waits for the upstream any more.
func (x *Exchange) Complete() bool {
	b := x.conn.buffered()
	switch {
	case x.ended:
		return true
	case x.Head.Length != http1.Chunked:
		return x.Head.Length >= 0 && x.remaining <= int64(len(b))
	}
	chunks := x.chunks
	for {
		n, _, err := chunks.Next(b)
		if err != nil || chunks.Done() {
			return true
		}
		if n == 0 {
			return false
		}
		b = b[n:]
	}
}

// Close ends the exchange, with the sending of its body; again, it does nothing. The connection is kept where it can be used again.
func (x *Exchange) Close() {
	if x.closed {
		return
	}
	x.closed = true
	x.watch.End()
	whole := x.upload.end(func() { x.abort(errAnswered) })
	x.mu.Lock()
	x.released = true
	reuse := whole && x.ended && x.cause == nil && !x.Head.Close && len(x.conn.buffered()) == 0
	x.mu.Unlock()
	if reuse {
		x.pool.put(x.key, x.conn)
		return
	}
	x.conn.close()
	x.conn.release()
}

// Tunnel is the connection, once the answer was 101. It ends with Close of the exchange.
func (x *Exchange) Tunnel() *Tunnel {
	if len(x.conn.buffered()) == 0 {
		x.conn.release()
	}
	return &Tunnel{x}
}

// Tunnel is a connection that speaks another protocol. One goroutine reads it, and one writes; Close is for any.
type Tunnel struct{ x *Exchange }

// Read implements io.Reader.
func (t *Tunnel) Read(p []byte) (int, error) {
	c := t.x.conn
	if b := c.buffered(); len(b) > 0 {
		return copy(p, c.take(min(len(p), len(b)))), nil
	}
	return c.stream.Read(p)
}

// Write implements io.Writer.
func (t *Tunnel) Write(p []byte) (int, error) { return t.x.conn.stream.Write(p) }

// CloseWrite says that nothing more is written.
func (t *Tunnel) CloseWrite() error {
	return t.x.conn.stream.CloseWrite()
}

// Close implements io.Closer.
func (t *Tunnel) Close() error {
	t.x.Abort()
	return nil
}

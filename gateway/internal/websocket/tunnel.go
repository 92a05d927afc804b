package websocket

import (
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// closeTimeout is how long ending a WebSocket may take: until its frame has ended, and until both ends have answered.
const closeTimeout = time.Second

// A Tunnel is one WebSocket, between a client and a backend. Who copies from one to the other is given Client and Backend
// in their places. Safe for concurrent use, with one reader and one writer of each.
type Tunnel struct {
	client  io.ReadWriteCloser
	backend io.ReadWriteCloser
	begin   func()
	begun   sync.Once

	closeTimeout time.Duration

	ending   atomic.Pointer[ending] // nil until End
	answered atomic.Bool            // the client has sent a close frame since
	tasks    sync.WaitGroup
	waiting  sync.Mutex // held while tasks begin
	waited   bool       // guarded by waiting: none begin any more

	pings    pinger
	down, up direction // to the client, and to the backend
}

// ending is with what a tunnel ends, and when at the latest.
type ending struct {
	toClient, toBackend []byte // close frames
	cut                 *time.Timer
}

// direction is one way through a tunnel.
type direction struct {
	mu     sync.Mutex // held while something is written
	frames frames     // guarded by mu
	closed bool       // guarded by mu: nothing is written any more
	passed bool       // guarded by mu: something was written since the last ping
}

// New makes a tunnel to a backend. begin is called once, when the copying begins: the answer's header is written by then.
func New(backend io.ReadWriteCloser, begin func()) *Tunnel {
	return &Tunnel{backend: backend, begin: begin, closeTimeout: closeTimeout}
}

// Client is the client's connection, for who copies. It is to be called once.
func (t *Tunnel) Client(conn io.ReadWriteCloser) io.ReadWriteCloser {
	t.client = conn
	return &clientSide{conn, t}
}

// Backend is the backend's connection, for who copies.
func (t *Tunnel) Backend() io.ReadWriteCloser { return &backendSide{t.backend, t} }

// End closes the WebSocket with a code and a reason. The client is sent a close frame as soon as the frame has ended that
// is on its way; the backend is sent one too, or finds its connection closed where it waits for the rest of a frame, and nothing
// of what the client sends from now on. When both have answered, and after a second in any case, the connections are closed.
// End returns at once; it is not to be called before begin was.
func (t *Tunnel) End(code uint16, reason string) {
	var key [4]byte
	_, _ = rand.Read(key[:]) // never fails
	e := &ending{toClient: closeFrame(code, reason), toBackend: maskedCloseFrame(code, reason, key)}
	e.cut = time.AfterFunc(t.closeTimeout, t.cut)
	if !t.ending.CompareAndSwap(nil, e) {
		e.cut.Stop()
		return
	}
	t.waiting.Lock()
	defer t.waiting.Unlock()
	if t.waited {
		e.cut.Stop() // both connections are closed
		return
	}
	t.tasks.Go(func() {
		t.down.mu.Lock()
		defer t.down.mu.Unlock()
		t.endClient(e)
	})
	t.tasks.Go(func() {
		t.up.mu.Lock()
		defer t.up.mu.Unlock()
		t.endBackend(e)
	})
}

// Wait returns when nothing goes on any more that End or PingEvery began. It is called when both connections are closed.
func (t *Tunnel) Wait() {
	t.waiting.Lock()
	t.waited = true
	t.waiting.Unlock()
	t.pings.stop()
	if e := t.ending.Load(); e != nil {
		e.cut.Stop()
	}
	t.tasks.Wait()
}

// cut closes both connections.
func (t *Tunnel) cut() {
	_ = t.backend.Close()
	_ = t.client.Close()
}

// endClient sends the client the close frame, if none is on its way. down.mu is held.
func (t *Tunnel) endClient(e *ending) {
	d := &t.down
	if d.closed || !d.frames.boundary() {
		return
	}
	d.closed = true
	if d.frames.opcode != opcodeClose { // which the backend has sent
		_, _ = t.client.Write(e.toClient) // if it fails, reading does too
	}
}

// endBackend ends what the backend is sent. up.mu is held.
func (t *Tunnel) endBackend(e *ending) {
	d := &t.up
	if d.closed {
		return
	}
	d.closed = true
	if d.frames.boundary() {
		_, _ = t.backend.Write(e.toBackend) // likewise
	}
	_ = closeWrite(t.backend)
}

var errNoHalfClose = errors.New("websocket: the connection cannot be closed for writing alone")

// closeWrite closes a connection for writing, as who copies does when the other one has ended.
func closeWrite(conn any) error {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok {
		return errNoHalfClose
	}
	return half.CloseWrite()
}

// clientSide is the client's connection.
type clientSide struct {
	io.ReadWriteCloser
	t *Tunnel
}

// Read implements io.Reader. It ends when the client has answered the close frame.
func (c *clientSide) Read(p []byte) (int, error) {
	c.t.begun.Do(c.t.begin)
	if c.t.answered.Load() {
		return 0, io.EOF
	}
	return c.ReadWriteCloser.Read(p)
}

// Write implements io.Writer.
func (c *clientSide) Write(p []byte) (int, error) {
	d := &c.t.down
	d.mu.Lock()
	defer d.mu.Unlock()
	e := c.t.ending.Load()
	if e == nil {
		n, err := c.ReadWriteCloser.Write(p)
		d.frames.advance(p[:n])
		d.passed = true
		return n, err
	}
	if c.t.endClient(e); d.closed {
		return len(p), nil
	}
	n, _ := d.frames.next(p)
	if n, err := c.ReadWriteCloser.Write(p[:n]); err != nil {
		return n, err
	}
	c.t.endClient(e)
	return len(p), nil
}

// CloseWrite is for who copies, when the backend has ended.
func (c *clientSide) CloseWrite() error {
	if c.t.ending.Load() != nil {
		return nil // the client is still to answer
	}
	return closeWrite(c.ReadWriteCloser)
}

// Close implements io.Closer. Who has answered the close frame is told the end, and not cut off.
func (c *clientSide) Close() error {
	if c.t.answered.Load() {
		_ = closeWrite(c.ReadWriteCloser) // where it fails, the connection is closed already
	}
	return c.ReadWriteCloser.Close()
}

// backendSide is the backend's connection.
type backendSide struct {
	io.ReadWriteCloser
	t *Tunnel
}

// Read implements io.Reader.
func (b *backendSide) Read(p []byte) (int, error) {
	b.t.begun.Do(b.t.begin)
	n, err := b.ReadWriteCloser.Read(p)
	if err != nil && b.t.ending.Load() != nil {
		err = io.EOF // the client is still to answer
	}
	return n, err
}

// Write implements io.Writer.
func (b *backendSide) Write(p []byte) (int, error) {
	d := &b.t.up
	d.mu.Lock()
	defer d.mu.Unlock()
	e := b.t.ending.Load()
	if e == nil {
		n, err := b.ReadWriteCloser.Write(p)
		d.frames.advance(p[:n])
		d.passed = true
		return n, err
	}
	b.t.endBackend(e)
	for rest := p; len(rest) > 0; {
		n, ended := d.frames.next(rest)
		if ended && d.frames.opcode == opcodeClose {
			b.t.answered.Store(true)
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// CloseWrite is for who copies, when the client has ended.
func (b *backendSide) CloseWrite() error {
	if b.t.ending.Load() != nil {
		return nil // it is closed so already
	}
	return closeWrite(b.ReadWriteCloser)
}

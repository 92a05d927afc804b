package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// A switcher is the writer of a server that can leave HTTP for another protocol, each in its own way: by 101 on the connection
// (HTTP/1.1), or by 200 on the stream (RFC 8441).
type switcher interface {
	SwitchProtocols(header field.List) (io.ReadWriteCloser, error)
}

// upgrade passes on that the backend has switched protocols, and then what client and backend say to each other, through a
// tunnel, until both have ended or one has failed.
func (x *forwarding) upgrade(h field.List, answer *upstreamAnswer) error {
	for _, name := range [...]string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		h.Del(name)
	}
	server, ok := x.reply.ResponseWriter.(switcher)
	if !ok {
		return refuseUpstream(http.StatusBadGateway, "upstream request failed", http.ErrNotSupported)
	}
	conn, err := server.SwitchProtocols(h)
	if err != nil {
		return refuseUpstream(http.StatusBadGateway, "upstream request failed", err)
	}
	backend := x.stream.openTunnel(answer.Tunnel(), func() { x.g.streams.Register(&x.stream.Stream) })
	user := &countedWriter{ReadWriteCloser: x.stream.opened.Client(conn)}
	if every := x.upstream.WebSocketPing; every > 0 {
		x.stream.opened.PingEvery(every)
	}
	x.reply.status, x.record.webSocket = x.switchStatus(), true
	defer func() { _ = errors.Join(user.Close(), backend.Close()) }() // one of them may have gone
	copyBoth(user, backend, tunnelTimeout)
	x.reply.bytes = user.written
	return nil
}

// countedWriter counts what is written through it.
type countedWriter struct {
	io.ReadWriteCloser
	written int64 // owned by whoever writes
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.ReadWriteCloser.Write(p)
	c.written += int64(n)
	return n, err
}

// CloseWrite is for who copies.
func (c *countedWriter) CloseWrite() error { return closeWrite(c.ReadWriteCloser) }

// The buffers that are copied through: each way has a small one of its own, and one of the large while what comes fills it, as the
// records of a long message over TLS do. Most tunnels are idle, and say little.
const (
	smallCopyBuffer = 512
	largeCopyBuffer = 16 << 10
)

var largeCopyBuffers = sync.Pool{New: func() any { return new([largeCopyBuffer]byte) }}

// tunnelTimeout is how long one side of a tunnel may take nothing of what the other sends, and how long it may go on when the other
// has ended.
const tunnelTimeout = time.Minute

// copyBoth copies both ways until both sides have ended, and closes them where one fails or takes longer than the timeout: a client
// that has gone would else hold both for as long as a backend does not notice.
func copyBoth(user, backend io.ReadWriteCloser, timeout time.Duration) {
	end := func() { _ = errors.Join(user.Close(), backend.Close()) } // one of them may have gone
	pass := func(to io.Writer, from io.Reader, stall *time.Timer) {
		stall.Stop()
		if copyAndClose(to, from, stall, timeout) != nil {
			end()
			return
		}
		stall.Reset(timeout)
	}
	up, down := time.AfterFunc(timeout, end), time.AfterFunc(timeout, end)
	defer up.Stop()
	defer down.Stop()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		pass(backend, user, up)
	}()
	pass(user, backend, down)
	<-sent
}

// copyAndClose copies until one side has ended, and closes the other for writing. The timer runs while something is written.
func copyAndClose(to io.Writer, from io.Reader, stall *time.Timer, timeout time.Duration) error {
	small := make([]byte, smallCopyBuffer)
	for {
		full, err := copyPiece(to, from, small, stall, timeout)
		if full {
			err = copyPieces(to, from, stall, timeout)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	return closeWrite(to)
}

// closeWrite closes a connection for writing.
func closeWrite(to io.Writer) error {
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// copyPieces copies through a large buffer while what comes fills it.
func copyPieces(to io.Writer, from io.Reader, stall *time.Timer, timeout time.Duration) error {
	large := largeCopyBuffers.Get().(*[largeCopyBuffer]byte)
	defer largeCopyBuffers.Put(large)
	for {
		if full, err := copyPiece(to, from, large[:], stall, timeout); err != nil || !full {
			return err
		}
	}
}

// copyPiece copies what one read brings, and reports whether the buffer was full, so that there is probably more.
func copyPiece(to io.Writer, from io.Reader, buffer []byte, stall *time.Timer, timeout time.Duration) (full bool, err error) {
	n, err := from.Read(buffer)
	if n > 0 {
		stall.Reset(timeout)
		_, failed := to.Write(buffer[:n])
		if stall.Stop(); failed != nil {
			return false, failed
		}
	}
	return n == len(buffer) && err == nil, err
}

package gateway

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// upgrade passes on that the backend has switched protocols, and then what client and backend say to each other, through a
// tunnel, until both have ended or one has failed. What a client sends before the switch is no frame (RFC 6455, section 4.1),
// and is not passed on.
func (x *forwarding) upgrade(h field.List, answer *upstreamAnswer) error {
	conn, buffered, err := http.NewResponseController(x.reply.ResponseWriter).Hijack()
	if err != nil {
		return refuseUpstream(http.StatusBadGateway, "upstream request failed", err)
	}
	backend := x.stream.openTunnel(answer.Tunnel(), func() { x.g.streams.Register(&x.stream.Stream) })
	user := x.stream.opened.Client(conn)
	x.reply.status = http.StatusSwitchingProtocols
	defer func() { _ = errors.Join(user.Close(), backend.Close()) }() // one of them may have gone
	if err := writeSwitching(buffered.Writer, h); err != nil {
		return nil
	}
	copyBoth(user, backend, tunnelTimeout)
	return nil
}

// writeSwitching writes the head of a 101.
func writeSwitching(w *bufio.Writer, h field.List) error {
	for _, name := range [...]string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		h.Del(name)
	}
	head, err := http1.AppendFields([]byte("HTTP/1.1 101 Switching Protocols\r\n"), h)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	return w.Flush()
}

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

package gateway

import (
	"bufio"
	"errors"
	"io"
	"net/http"
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

// The buffer that is copied through: at first, and at most. Most tunnels are idle, and say little.
const (
	firstCopyBuffer = 1 << 10
	mostCopyBuffer  = 32 << 10
)

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
	buffer := make([]byte, firstCopyBuffer)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			stall.Reset(timeout)
			_, err := to.Write(buffer[:n])
			if stall.Stop(); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if n == len(buffer) && n < mostCopyBuffer {
			buffer = make([]byte, 2*n)
		}
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

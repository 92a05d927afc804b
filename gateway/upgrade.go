package gateway

import (
	"bufio"
	"errors"
	"io"
	"net/http"

	"github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// upgrade passes on that the backend has switched protocols, and then what client and backend say to each other, through a
// tunnel, until both have ended or one has failed. What a client sends before the switch is no frame (RFC 6455, section 4.1),
// and is not passed on.
func (x *forwarding) upgrade(h http.Header, answer *client.Exchange) error {
	conn, buffered, err := http.NewResponseController(x.reply.ResponseWriter).Hijack()
	if err != nil {
		return refuseUpstream(http.StatusBadGateway, "upstream request failed", err)
	}
	backend := x.stream.openTunnel(answer.Tunnel(), func() { x.g.streams.Register(&x.stream.Stream) })
	user := x.stream.opened.Client(conn)
	x.reply.status = http.StatusSwitchingProtocols
	end := func() { _ = errors.Join(user.Close(), backend.Close()) } // one of them may have gone
	defer end()
	own := x.reply.Header()
	addHeader(own, h)
	if err := writeSwitching(buffered.Writer, own); err != nil {
		return nil
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if copyAndClose(backend, user) != nil {
			end()
		}
	}()
	if copyAndClose(user, backend) != nil {
		end()
	}
	<-sent
	return nil
}

// writeSwitching writes the head of a 101.
func writeSwitching(w *bufio.Writer, h http.Header) error {
	if _, err := w.WriteString("HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return err
	}
	for _, name := range [...]string{"Content-Length", "Transfer-Encoding", "Trailer"} {
		delete(h, name)
	}
	if err := h.Write(w); err != nil {
		return err
	}
	if _, err := w.WriteString("\r\n"); err != nil {
		return err
	}
	return w.Flush()
}

// The buffer that is copied through: at first, and at most. Most tunnels are idle, and say little.
const (
	firstCopyBuffer = 1 << 10
	mostCopyBuffer  = 32 << 10
)

// copyAndClose copies until one side has ended, and closes the other for writing.
func copyAndClose(to io.Writer, from io.Reader) error {
	buffer := make([]byte, firstCopyBuffer)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
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

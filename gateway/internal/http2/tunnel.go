package http2

import (
	"io"
	"net/http"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// SwitchProtocols opens the WebSocket that the request asks for (RFC 8441, section 5): it is answered with 200 and this header, and
// what follows is read from the tunnel and written to it, until that is closed, by the handler. The error says that the request asks
// for none, or was answered already. Of a client that has gone, the tunnel's reads and writes say so.
func (w *writer) SwitchProtocols(head field.List) (io.ReadWriteCloser, error) {
	st, a := (*stream)(w), &w.answer
	if !st.opens || a.status != 0 || a.done {
		return nil, http.ErrNotSupported
	}
	a.begin(http.StatusOK, st.request.Method)
	a.take(head)
	c := st.conn
	c.mu.Lock()
	st.tunnel = true
	c.mu.Unlock()
	_ = st.send(nil) // where it fails, so does the tunnel
	return (*tunnel)(st), nil
}

// tunnel is what a stream is behind an extended CONNECT that was answered with 200: the bytes of its DATA. One goroutine reads, and
// one writes or calls CloseWrite; Close is for any. The client may send as much ahead as was read of what it has sent.
type tunnel stream

// Read implements io.Reader. END_STREAM is io.EOF.
func (t *tunnel) Read(p []byte) (int, error) { return (*body)(t).Read(p) }

// Write implements io.Writer: what is written leaves at once, as far as the windows let it.
func (t *tunnel) Write(p []byte) (int, error) {
	st, c := (*stream)(t), t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.localEnded {
		return 0, errAnswered
	}
	err := st.sendData(p, false)
	if c.flush(); err == nil {
		err = st.err // of writing it
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite says that nothing more is written, by END_STREAM.
func (t *tunnel) CloseWrite() error {
	st, c := (*stream)(t), t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.localEnded {
		return nil
	}
	st.localEnded = true
	err := st.sendData(nil, true)
	c.flush()
	return err
}

// Close ends the stream. What has not ended both ways is reset, with CANCEL (RFC 8441, section 5) where something could still have come
// from here.
func (t *tunnel) Close() error {
	st, c := (*stream)(t), t.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.localEnded {
		st.end()
	} else {
		st.reset(cancel, errAnswered)
	}
	st.localEnded = true
	c.kick()
	return nil
}

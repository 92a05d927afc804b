package http2

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// writer is what a handler writes its answer to: the stream. The handler's goroutine alone writes; deadlines may be set by any.
type writer stream

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header {
	if w.answer.header == nil {
		w.answer.header = http.Header{}
	}
	return w.answer.header
}

// WriteHeader implements http.ResponseWriter. Informational answers leave at once; 101 is none of HTTP/2, and is not sent.
func (w *writer) WriteHeader(status int) {
	a := &w.answer
	switch {
	case a.status != 0 || a.done:
		return
	case status < 100 || status > 999:
		panic("http2: a status of " + strconv.Itoa(status))
	case status >= 200:
		(*stream)(w).beginAnswer(status)
		a.snapshot()
	case status != http.StatusSwitchingProtocols:
		(*stream)(w).inform(status)
	}
}

// RequestFields are the fields of the request as they were sent, their names as in an http.Header. They are not to be changed.
func (w *writer) RequestFields() field.List { return w.fields }

// WriteFields is WriteHeader of a final answer whose header is this list, in the place of Header.
func (w *writer) WriteFields(status int, head field.List) {
	if a := &w.answer; a.status == 0 && !a.done {
		(*stream)(w).beginAnswer(status)
		a.take(head)
	}
}

// beginAnswer is when the status of the final answer is known. To a handshake, 2xx would say that what follows is a WebSocket.
func (st *stream) beginAnswer(status int) {
	if st.opens && status < 300 {
		panic(http.ErrAbortHandler)
	}
	st.answer.begin(status, st.request.Method)
}

// inform sends an informational answer, with the header as it is.
func (st *stream) inform(status int) {
	list := fieldLists.Get().(*fieldList)
	defer list.free()
	for key, values := range st.answer.header {
		if key != "Content-Length" && !strings.HasPrefix(key, http.TrailerPrefix) {
			list.add(key, values)
		}
	}
	c := st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn(st, false) == nil {
		c.appendFields(st, status, list.all, false)
		c.flush()
	}
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	a := &w.answer
	if a.done {
		return 0, errAnswered
	}
	if a.failed != nil {
		return 0, a.failed
	}
	if a.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case !field.AllowsContent(a.status):
		return 0, http.ErrBodyNotAllowed
	case a.declared >= 0 && a.written+int64(len(p)) > a.declared:
		return 0, http.ErrContentLength
	case a.noBody:
		a.written += int64(len(p))
		return len(p), nil
	}
	a.written += int64(len(p))
	return (*stream)(w).keep(p)
}

// keep keeps what is written until there is enough for a frame, so that frames are full but where somebody flushes.
func (st *stream) keep(p []byte) (int, error) {
	a, rest := &st.answer, p
	if a.buffer != nil {
		rest = rest[a.buffer.add(rest):]
	}
	if len(rest) == 0 {
		return len(p), nil
	}
	if a.buffer != nil || len(rest) >= maxData {
		full := len(rest) - len(rest)%maxData
		if err := st.send(rest[:full]); err != nil {
			return 0, err
		}
		rest = rest[full:]
	}
	if len(rest) > 0 {
		a.buffer = answerBuffers.Get().(*answerBytes)
		a.buffer.add(rest)
	}
	return len(p), nil
}

// FlushError is for http.ResponseController.
func (w *writer) FlushError() error {
	if w.answer.done {
		return errAnswered
	}
	if w.answer.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return (*stream)(w).send(nil)
}

// Flush implements http.Flusher.
func (w *writer) Flush() {
	_ = w.FlushError() // where it fails, so does the next write
}

// EnableFullDuplex is for http.ResponseController: it always is.
func (w *writer) EnableFullDuplex() error { return nil }

// SetReadDeadline is for http.ResponseController. Once it has passed, the body is not read any more.
func (w *writer) SetReadDeadline(at time.Time) error {
	st, c := (*stream)(w), w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	st.readBy = at
	switch {
	case at.IsZero():
	case time.Now().Before(at):
		c.arm(at)
	default:
		st.stopReading(os.ErrDeadlineExceeded)
		c.kick()
	}
	return nil
}

// SetWriteDeadline is for http.ResponseController. Once it has passed, the stream is reset, and the request's context ends.
func (w *writer) SetWriteDeadline(at time.Time) error {
	st, c := (*stream)(w), w.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	st.writeBy = at
	switch {
	case at.IsZero():
	case time.Now().Before(at):
		c.arm(at)
	default:
		st.reset(internalError, os.ErrDeadlineExceeded)
		c.kick()
	}
	return nil
}

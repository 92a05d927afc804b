package server

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/requestcontext"
)

const unknownLength = -1

// response is the answer to a request: an http.ResponseWriter whose goroutine is the handler's, with what
// http.ResponseController finds. Reading and writing overlap as the handler likes.
type response struct {
	conn    *conn
	context requestcontext.Context
	request *http.Request
	body    *body
	header  http.Header // what the handler has; nil where it has not asked
	head    field.List  // of the answer, once the status is known: not to be changed

	status   int  // 0 before WriteHeader
	begun    bool // the head is in the output
	bodiless bool // the method or the status has it so
	chunked  bool
	length   int64    // of the body as the head says, or unknownLength
	written  int64    // bytes of it
	trailer  []string // the fields behind the body
	early    []byte   // the body's beginning, before the head is
	hijacked bool
}

// earlyBytes is how much of a body is kept until it is known whether there is more: an answer that is no longer has its length
// in the head, and leaves as one.
const earlyBytes = 2 << 10

// Header implements http.ResponseWriter. What is changed of it behind WriteHeader is not in the head.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}

// RequestFields are the fields of the request as they were sent. They are not to be changed.
func (w *response) RequestFields() field.List { return w.conn.head.Fields }

// WriteHeader implements http.ResponseWriter. Informational responses leave at once, and take no part in the final one.
func (w *response) WriteHeader(status int) {
	switch {
	case w.status != 0 || w.hijacked:
		return
	case status >= 100 && status < 200 && status != http.StatusSwitchingProtocols:
		w.writeInformational(status)
		return
	}
	w.WriteFields(status, sorted(w.header))
}

// sorted is the fields of a header by name, without trailers.
func sorted(h http.Header) field.List {
	var room [32]string
	names := room[:0]
	for name := range h {
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	head := make(field.List, 0, len(names)+2)
	for _, name := range names {
		for _, value := range h[name] {
			head.Add(name, value)
		}
	}
	return head
}

// WriteFields is WriteHeader of a final answer whose header is this list, in the place of Header. It is not to be changed again.
func (w *response) WriteFields(status int, head field.List) {
	if w.status != 0 || w.hijacked {
		return
	}
	w.status, w.head = status, head
	w.bodiless = w.request.Method == http.MethodHead || !field.AllowsContent(status)
	if n, ok := field.ParseLength(head.Get("Content-Length")); ok {
		w.length = n
	}
	w.trailer = announced(head)
}

func (w *response) writeInformational(status int) {
	if w.request.ProtoMinor == 0 {
		return
	}
	o := &w.conn.output
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buffer = appendStatusLine(o.acquire(), status)
	for name, values := range w.header {
		if name != "Connection" && !field.FramesMessage(name) {
			o.buffer = appendValues(o.buffer, name, values)
		}
	}
	o.buffer = append(o.buffer, "\r\n"...)
	_ = o.flush() // whoever writes the final response learns that it cannot be
}

// Write implements io.Writer.
func (w *response) Write(p []byte) (int, error) {
	if w.hijacked {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.bodiless && w.request.Method == http.MethodHead:
		w.written += int64(len(p))
		return len(p), nil
	case w.bodiless:
		return 0, http.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		return 0, http.ErrContentLength
	case len(p) == 0:
		return 0, nil
	}
	o := &w.conn.output
	o.mu.Lock()
	defer o.mu.Unlock()
	if !w.begun {
		if w.length < 0 && len(w.early)+len(p) <= earlyBytes {
			w.early = append(w.early, p...)
			w.written += int64(len(p))
			return len(p), nil
		}
		w.begin()
	}
	if err := w.writeBody(p); err != nil {
		return 0, err
	}
	w.written += int64(len(p))
	return len(p), nil
}

// writeBody writes a piece of the body. The output's mu is held, as it is for all that follow.
func (w *response) writeBody(p []byte) error {
	o := &w.conn.output
	if !w.chunked {
		return o.write(p)
	}
	var size [http1.ChunkPrefix]byte
	if err := o.write(http1.AppendChunkSize(size[:0], len(p))); err != nil {
		return err
	}
	if err := o.write(p); err != nil {
		return err
	}
	return o.write([]byte("\r\n"))
}

// begin puts the head into the output, with what there is of the body.
func (w *response) begin() {
	w.begun = true
	o := &w.conn.output
	o.begun = true
	w.frame()
	o.buffer = w.appendHead(o.acquire())
	if len(w.early) > 0 {
		_ = w.writeBody(w.early) // the next write fails as well
		w.early = nil
	}
}

// frame finds out how the body is framed, and whether the connection ends behind it (RFC 9112, sections 6.1 and 9.6).
func (w *response) frame() {
	c := w.conn
	switch {
	case w.bodiless:
		if w.request.Method != http.MethodHead || w.status == http.StatusNoContent || w.status < 200 {
			w.length = unknownLength
		}
	case w.length >= 0:
		w.trailer = nil
	case w.request.ProtoMinor == 0:
		c.ending, w.trailer = max(c.ending, closes), nil
	default:
		w.chunked = true
	}
	if w.head.HasToken("Connection", "close") || c.s.draining.Load() || !w.body.mayDiscard() {
		c.ending = max(c.ending, closes)
	}
}

// appendHead appends the head of the answer.
func (w *response) appendHead(b []byte) []byte {
	b = appendStatusLine(b, w.status)
	if !w.head.Has("Date") {
		b = append(b, "Date: "...)
		b = append(b, w.conn.s.date.at(time.Now())...)
		b = append(b, "\r\n"...)
	}
	for _, f := range w.head {
		if !framesAnswer(f.Name) {
			b = appendField(b, f.Name, f.Value)
		}
	}
	switch {
	case w.chunked:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case w.length >= 0:
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), w.length, 10), "\r\n"...)
	}
	switch {
	case w.conn.ending != keepAlive:
		b = append(b, "Connection: close\r\n"...)
	case w.request.ProtoMinor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendStatusLine(b []byte, status int) []byte {
	b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(status), 10)
	return append(append(append(b, ' '), http.StatusText(status)...), "\r\n"...)
}

// framesAnswer reports whether a field says how the answer is framed, which appendHead says itself.
func framesAnswer(name string) bool {
	switch len(name) {
	case len("Connection"):
		return field.Same(name, "Connection")
	case len("Content-Length"):
		return field.Same(name, "Content-Length")
	case len("Transfer-Encoding"):
		return field.Same(name, "Transfer-Encoding")
	}
	return false
}

// appendValues appends the fields of a name.
func appendValues(b []byte, name string, values []string) []byte {
	for _, value := range values {
		b = appendField(b, name, value)
	}
	return b
}

// appendField appends a field. What would end a line is a space.
func appendField(b []byte, name, value string) []byte {
	if longer, err := http1.AppendField(b, name, value); err == nil {
		return longer
	}
	if longer, err := http1.AppendField(b, name, withoutControls(value)); err == nil {
		return longer
	}
	return b // the name is no token, and the field is left out
}

func withoutControls(value string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' || c == 0x7f {
			return ' '
		}
		return c
	}, value))
}

// announced is the fields that the header announces behind the body.
func announced(head field.List) (names []string) {
	for line := range head.Values("Trailer") {
		for name := range strings.SplitSeq(line, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if name != "" && !field.FramesMessage(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// hasTrailer reports whether there are fields behind the body, for which it has to be chunked.
func (w *response) hasTrailer() bool {
	if w.bodiless || w.request.ProtoMinor == 0 {
		return false
	}
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return len(w.trailer) > 0
}

// FlushError is for http.ResponseController.
func (w *response) FlushError() error {
	if w.hijacked {
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	o := &w.conn.output
	o.mu.Lock()
	defer o.mu.Unlock()
	if !w.begun {
		w.begin()
	}
	return o.flush()
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// EnableFullDuplex is for http.ResponseController. It always is so; who says so goes on reading the body when the answer has begun,
// which ends the connection unless it has ended before.
func (w *response) EnableFullDuplex() error {
	w.body.begin()
	return nil
}

// SetReadDeadline is for http.ResponseController. Where there is no body to read, one that has passed ends the request: nothing
// more of its client is waited for.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.body != nil {
		return w.body.SetReadDeadline(t)
	}
	if !t.IsZero() && !t.After(time.Now()) {
		w.conn.watch.abandon()
	}
	return nil
}

// SetWriteDeadline is for http.ResponseController. It ends with the request.
func (w *response) SetWriteDeadline(t time.Time) error {
	w.conn.hasDeadline.Store(true)
	return w.conn.rwc.SetWriteDeadline(t)
}

// Hijack implements http.Hijacker. The reader has what the client has already sent.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := w.conn
	switch {
	case w.hijacked:
		return nil, nil, http.ErrHijacked
	case w.begun || !w.body.ended():
		return nil, nil, errors.New("server: a connection cannot be taken over while a message is under way on it")
	}
	w.hijacked, c.taken = true, true
	c.watch.end()
	if err := c.rwc.SetReadDeadline(time.Time{}); err != nil {
		return nil, nil, err
	}
	c.onEnd()
	c.onEnd = func() {}
	reader := bufio.NewReader(c.rwc)
	if unread := c.input.unread(); len(unread) > 0 {
		reader = bufio.NewReaderSize(&precededConn{Conn: c.rwc, first: slices.Clone(unread)}, max(len(unread), inputBuffer))
		_, _ = reader.Peek(len(unread)) // it is there
	}
	c.input.release()
	return c.rwc, bufio.NewReadWriter(reader, bufio.NewWriter(c.rwc)), nil
}

// precededConn is a connection of which something has been read already.
type precededConn struct {
	net.Conn
	first []byte
}

func (p *precededConn) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// finish ends the answer, and is false where that is cut off.
func (w *response) finish() bool {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	o := &w.conn.output
	o.mu.Lock()
	defer o.mu.Unlock()
	if !w.begun {
		if w.length < 0 && (!w.bodiless || w.written > 0) && !w.hasTrailer() {
			w.length = w.written
		}
		w.begin()
	}
	if w.chunked {
		_ = o.write(w.appendLastChunk(nil)) // flush has the error
	}
	return o.flush() == nil && (w.bodiless || w.length < 0 || w.written == w.length)
}

// appendLastChunk appends the end of a chunked body, with the trailer section.
func (w *response) appendLastChunk(b []byte) []byte {
	b = append(b, "0\r\n"...)
	for _, name := range w.trailer {
		b = appendValues(b, name, w.header[name])
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && !field.FramesMessage(name) {
			b = appendValues(b, http.CanonicalHeaderKey(name), values)
		}
	}
	return append(b, "\r\n"...)
}

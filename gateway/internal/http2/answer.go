package http2

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// answer is the part of a stream that its handler writes.
type answer struct {
	header      http.Header
	status      int // 0 before WriteHeader
	fields      *fieldList
	buffer      *answerBytes // what is written and not sent; nil for nothing
	written     int64        // bytes of the body, sent or not
	declared    int64        // Content-Length; -1 for none
	announced   []string     // trailers
	noBody      bool         // none is sent: HEAD, 204, 304
	closes      bool         // the header says that the connection ends
	hasDate     bool
	headWritten bool // the header has been sent, or its sending was tried
	done        bool // the handler has returned
}

// fieldList is a pooled list of fields.
type fieldList struct{ all []field }

// answerBytes is a pooled buffer of what is written.
type answerBytes struct {
	n     int
	bytes [answerBuffer]byte
}

var (
	fieldLists    = sync.Pool{New: func() any { return &fieldList{make([]field, 0, 24)} }}
	answerBuffers = sync.Pool{New: func() any { return new(answerBytes) }}
)

func (l *fieldList) free() {
	clear(l.all)
	l.all = l.all[:0]
	fieldLists.Put(l)
}

// writer is what a handler writes its answer to: the stream. The handler's goroutine alone writes; deadlines may be set by any.
type writer stream

// Header implements http.ResponseWriter.
func (w *writer) Header() http.Header {
	if w.answer.header == nil {
		w.answer.header = make(http.Header, 16)
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
		a.status = status
		a.declared = -1
		a.noBody = w.request.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
		a.snapshot()
	case status != http.StatusSwitchingProtocols:
		(*stream)(w).inform(status)
	}
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

// add adds the lines of a field, but what no field of HTTP/2 can be.
func (l *fieldList) add(key string, values []string) {
	name := lowerName(key)
	if isConnectionSpecific(name) || !consistsOf(name, &lowerBytes) {
		return
	}
	for _, value := range values {
		if isValue(value) {
			l.all = append(l.all, field{name, value})
		}
	}
}

// snapshot takes the header as it is: what the handler changes from here on counts for trailers alone.
func (a *answer) snapshot() {
	a.fields = fieldLists.Get().(*fieldList)
	for _, line := range a.header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if key := http.CanonicalHeaderKey(strings.Trim(name, " \t")); isTrailer(key) {
				a.announced = append(a.announced, key)
			}
		}
	}
	for key, values := range a.header {
		switch {
		case key == "Content-Length":
			a.declare(values)
		case key == "Connection":
			a.closes = len(values) > 0 && strings.EqualFold(values[0], "close")
		case key == "Date":
			a.hasDate = true
			a.fields.add(key, values)
		case len(key) > len(http.TrailerPrefix) && strings.HasPrefix(key, http.TrailerPrefix) || a.isAnnounced(key):
		default:
			a.fields.add(key, values)
		}
	}
}

// declare takes a Content-Length, unless it is none. 204 has none (RFC 9110, section 8.6).
func (a *answer) declare(values []string) {
	if len(values) == 0 || a.status == http.StatusNoContent {
		return
	}
	if n, ok := parseLength(values[0]); ok {
		a.declared = n
		a.fields.add("Content-Length", values[:1])
	}
}

func (a *answer) isAnnounced(key string) bool {
	for _, name := range a.announced {
		if name == key {
			return true
		}
	}
	return false
}

// isTrailer reports whether a field may be a trailer (RFC 9110, section 6.5.1).
func isTrailer(key string) bool {
	switch key {
	case "", "Content-Length", "Transfer-Encoding", "Trailer", "Te", "Host":
		return false
	}
	return true
}

// trailers are the fields behind the body: those announced, and those whose keys begin with http.TrailerPrefix.
func (a *answer) trailers(list *fieldList) []field {
	for _, key := range a.announced {
		list.add(key, a.header[key])
	}
	for key, values := range a.header {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok && isTrailer(http.CanonicalHeaderKey(name)) {
			list.add(name, values)
		}
	}
	return list.all
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	a := &w.answer
	if a.done {
		return 0, errAnswered
	}
	if a.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case a.status == http.StatusNoContent || a.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case a.declared >= 0 && a.written+int64(len(p)) > a.declared:
		return 0, http.ErrContentLength
	case a.noBody:
		a.written += int64(len(p))
		return len(p), nil
	}
	a.written += int64(len(p))
	if a.buffer == nil && len(p) <= answerBuffer {
		a.buffer = answerBuffers.Get().(*answerBytes)
	}
	if a.buffer != nil && len(p) <= answerBuffer-a.buffer.n {
		a.buffer.n += copy(a.buffer.bytes[a.buffer.n:], p)
		return len(p), nil
	}
	return len(p), (*stream)(w).send(p)
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

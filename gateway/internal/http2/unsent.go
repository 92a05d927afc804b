package http2

import (
	"net/http"
	"strings"
	"sync"

	"github.com/viloforge/vilogate/gateway/internal/field"
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
	headWritten bool  // the header has been sent, or its sending was tried
	done        bool  // the handler has returned
	failed      error // of the last sending: every further write fails
}

// begin is when the status of the final answer is known.
func (a *answer) begin(status int, method string) {
	a.status, a.declared = status, -1
	a.noBody = method == http.MethodHead || !field.AllowsContent(status)
}

// fieldList is a pooled list of fields.
type fieldList struct{ all field.List }

// answerBytes is a pooled buffer of what is written.
type answerBytes struct {
	n     int
	bytes [answerBuffer]byte
}

// add adds as much of p as there is room for, and says how much that was.
func (b *answerBytes) add(p []byte) int {
	n := copy(b.bytes[b.n:], p)
	b.n += n
	return n
}

var (
	fieldLists    = sync.Pool{New: func() any { return &fieldList{make(field.List, 0, 24)} }}
	answerBuffers = sync.Pool{New: func() any { return new(answerBytes) }}
)

func (l *fieldList) free() {
	clear(l.all)
	l.all = l.all[:0]
	fieldLists.Put(l)
}

// outBuffer is a pooled buffer of frames.
type outBuffer struct{ b []byte }

var outBuffers = sync.Pool{New: func() any { return new(outBuffer) }}

func (b *outBuffer) free() {
	if cap(b.b) > 4*maxPending {
		return
	}
	b.b = b.b[:0]
	outBuffers.Put(b)
}

// add adds the lines of a field, but what no field of HTTP/2 can be.
func (l *fieldList) add(key string, values []string) {
	name := lowerName(key)
	if field.IsConnectionSpecific(name) || !isLowerToken(name) {
		return
	}
	for _, value := range values {
		if field.IsValue(value) {
			l.all = append(l.all, field.Field{Name: name, Value: value})
		}
	}
}

// snapshot takes the header as it is: what the handler changes from here on counts for trailers alone.
func (a *answer) snapshot() {
	a.fields = fieldLists.Get().(*fieldList)
	for _, line := range a.header["Trailer"] {
		a.announce(line)
	}
	for key, values := range a.header {
		switch {
		case len(key) > len(http.TrailerPrefix) && strings.HasPrefix(key, http.TrailerPrefix):
		case len(values) == 0:
			a.hasDate = a.hasDate || key == "Date" // there is to be none
		default:
			a.takeField(key, values)
		}
	}
}

// take takes a header that is no map.
func (a *answer) take(head field.List) {
	a.fields = fieldLists.Get().(*fieldList)
	for line := range head.Values("Trailer") {
		a.announce(line)
	}
	for i := range head {
		var value [1]string
		value[0] = head[i].Value
		a.takeField(http.CanonicalHeaderKey(head[i].Name), value[:])
	}
}

// announce notes the trailers that a line of Trailer announces.
func (a *answer) announce(line string) {
	for name := range strings.SplitSeq(line, ",") {
		if key := http.CanonicalHeaderKey(strings.Trim(name, " \t")); isTrailer(key) {
			a.announced = append(a.announced, key)
		}
	}
}

// takeField takes the values of a field.
func (a *answer) takeField(key string, values []string) {
	switch {
	case key == "Content-Length":
		a.declare(values)
	case key == "Connection":
		a.closes = field.IsListed(values[0], "close")
	case a.isAnnounced(key):
	default:
		a.hasDate = a.hasDate || key == "Date"
		a.fields.add(key, values)
	}
}

// declare takes a Content-Length, unless it is none. 204 has none (RFC 9110, section 8.6).
func (a *answer) declare(values []string) {
	if a.declared >= 0 || a.status == http.StatusNoContent {
		return
	}
	if n, ok := field.ParseLength(values[0]); ok {
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
	return key != "" && key != "Te" && key != "Host" && !field.FramesMessage(key)
}

// trailers are the fields behind the body: those announced, and those whose keys begin with http.TrailerPrefix.
func (a *answer) trailers(list *fieldList) field.List {
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

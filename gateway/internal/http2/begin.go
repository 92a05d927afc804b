package http2

import (
	"io"
	"net/http"
	"sync"

	"github.com/viloforge/vilogate/gateway/internal/requestcontext"
)

// newStream makes the stream of a request that the reader has read. c.mu is held.
func (c *conn) newStream(id uint32, t *target, endStream bool) *stream {
	st := &stream{
		Context: requestcontext.Context{Base: c.base},
		conn:    c, id: id,
		remoteEnded: endStream, expects: t.expects, opens: t.opens,
		declared: t.contentLength, credit: c.limits.BodyTimeout,
		receiveWindow: c.limits.StreamWindow, sendWindow: c.initialWindow,
		readable: sync.Cond{L: &c.mu}, sendable: sync.Cond{L: &c.mu},
	}
	r := c.template.WithContext(st)
	r.Method, r.Host, r.RequestURI, r.URL = c.list.method, t.host, t.uri, t.url
	r.Header, r.Trailer, r.ContentLength = t.header, t.trailer, t.contentLength
	if r.Body = (*body)(st); endStream {
		r.Body, st.bodyErr = http.NoBody, io.EOF
	}
	if t.opens {
		r.Method, r.Body, st.declared, st.expects = http.MethodGet, http.NoBody, -1, false
	}
	st.request, st.fields = r, t.fields
	if c.base.Err() != nil {
		st.Cancel()
	}
	return st
}

// open begins a stream, whose request is served by a handler. c.mu is held.
func (c *conn) open(st *stream, h http.Handler) {
	st.serve = h
	c.streams[st.id] = st
	c.handlers++
	c.workers.start((*handling)(st))
}

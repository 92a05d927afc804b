package http2

import (
	"fmt"
	"net/http"
	"runtime/debug"
)

// handling is the task of serving a request.
type handling stream

func (h *handling) run() {
	st := (*stream)(h)
	defer st.leave()
	if st.serveRequest() {
		if st.tunnel {
			_ = (*tunnel)(st).Close() // it never fails
			return
		}
		st.finish()
	} else {
		st.abort()
	}
	if st.answer.closes {
		st.conn.drain()
	}
}

// serveRequest calls the handler. It is false where that has failed.
func (st *stream) serveRequest() (ok bool) {
	defer func() {
		if ok {
			return
		}
		// A nil is runtime.Goexit, after which the stream is left, too.
		if reason := recover(); reason != nil && reason != http.ErrAbortHandler {
			st.conn.log.Error("http2: a handler panicked", "panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
		}
	}()
	st.serve.ServeHTTP((*writer)(st), st.request)
	if st.answer.status == 0 {
		(*writer)(st).WriteHeader(http.StatusOK)
	}
	return true
}

// leave is when the handler has returned, and its answer has been sent or has failed.
func (st *stream) leave() {
	a := &st.answer
	a.done = true
	if a.fields != nil {
		a.fields.free()
		a.fields = nil
	}
	if a.buffer != nil {
		a.buffer.n = 0
		answerBuffers.Put(a.buffer)
		a.buffer = nil
	}
	st.Cancel()
	c := st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if !st.closed { // the handler has ended its goroutine
		st.reset(internalError, http.ErrAbortHandler)
	}
	st.stopReading(http.ErrBodyReadAfterClose)
	c.kick()
	if c.handlers--; c.handlers == 0 {
		c.idle.Broadcast()
	}
}

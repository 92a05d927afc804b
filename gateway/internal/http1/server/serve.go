package server

import (
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/requestcontext"
)

// serve serves one request after another.
func (c *conn) serve() {
	for c.ending == keepAlive && c.await() {
		if err := c.readHead(); err != nil {
			c.refuse(err)
			break
		}
		c.serveRequest()
	}
	c.close()
}

// refuse answers a request that cannot be served, and ends the connection: where the next request begins, nobody knows.
func (c *conn) refuse(err error) {
	var refusal *http1.RefusedError
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, os.ErrDeadlineExceeded):
		refusal = &http1.RefusedError{Status: http.StatusRequestTimeout, Reason: "the header did not arrive in time"}
	default:
		c.ending = closed // the client has, or what it sends is not TLS
		return
	}
	c.ending, c.due = closes, true
	c.head.Fields, c.head.Length, c.head.Close, c.head.Expect = c.head.Fields[:0], 0, true, false
	answer := c.s.opts.Refuse
	if answer == nil {
		answer = func(w http.ResponseWriter, _ *http.Request, status int, _ string) { w.WriteHeader(status) }
	}
	c.serveBy(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, refusal.Status, refusal.Reason)
	}))
}

// serveRequest has the handler answer a request.
func (c *conn) serveRequest() {
	if c.head.Close {
		c.ending = closes
	}
	c.serveBy(c.s.opts.Handler)
}

// serveBy has a handler answer what is in c.head.
func (c *conn) serveBy(handler http.Handler) {
	b := c.body()
	w := &response{conn: c, context: requestcontext.Context{Base: c.ctx}, body: b, length: unknownLength}
	defer w.context.Cancel()
	r := c.request(&w.context, b)
	w.request = r
	c.output.begin()
	c.watch.begin(&w.context, b != nil)
	if c.ctx.Err() != nil {
		w.context.Cancel()
	}
	whole := c.run(handler, w, r)
	c.watch.end()
	b.end()
	switch {
	case w.hijacked:
		c.ending = closed
	case !whole || !w.finish():
		c.ending = aborted
	case c.ending == keepAlive && !b.ended() && !b.discard():
		c.ending = closes
	case c.hasDeadline.Swap(false):
		_ = c.rwc.SetWriteDeadline(time.Time{}) // where it fails, so does the next answer
	}
	c.due = c.due || !b.ended()
	c.output.release()
}

// run calls the handler, and is false where it ended in a panic.
func (c *conn) run(handler http.Handler, w *response, r *http.Request) (whole bool) {
	defer func() {
		if cause := recover(); cause != nil {
			c.s.logPanic(cause, c.remote)
		}
	}()
	handler.ServeHTTP(w, r)
	return true
}

// body is the body of the request in c.head, nil where it has none.
func (c *conn) body() *body {
	if c.head.Length == 0 {
		return nil
	}
	b := newBody(c.head.Length, c.head.Expect, &c.s.opts.Limits)
	b.input, b.output, b.watch = &c.input, &c.output, &c.watch
	return b
}

package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// conn is a connection. What is not guarded is owned by the goroutine that serves it.
type conn struct {
	s      *Server
	rwc    net.Conn
	tls    *tls.ConnectionState
	remote string
	ctx    context.Context
	cancel context.CancelFunc // of ctx
	onEnd  func()

	input  input
	output output
	head   http1.RequestHead
	ending ending
	due    bool // a body has not ended
	taken  bool // by Hijack

	mu      sync.Mutex
	changed *sync.Cond // something that mu guards
	phase   phase      // guarded by mu
	watch   watch      // guarded by mu
}

// ending is whether, and how, a connection ends behind a request.
type ending uint8

const (
	stays   ending = iota
	ends           // its client may have more to send, which is read away for a while
	aborted        // likewise, and the client is not told that the answer is whole
	gone           // it is closed, or speaks HTTP no longer
)

// phase is what may end a connection that is shut down.
type phase uint8

const (
	idle    phase = iota // no request has begun
	busy                 // one has
	closing              // it was told to end while it was idle
)

// expired is a deadline that has passed.
var expired = time.Unix(1, 0)

// serve serves one request after another.
func (c *conn) serve() {
	for c.ending == stays && c.await() {
		if err := c.readHead(); err != nil {
			c.refuse(err)
			break
		}
		c.serveRequest()
	}
	c.close()
}

// await waits for the first byte of a request, and is false where none comes.
func (c *conn) await() bool {
	c.mu.Lock()
	stop := c.phase == closing || c.s.closing.Load()
	if !stop {
		c.phase = idle
		stop = c.rwc.SetReadDeadline(time.Now().Add(c.s.opts.Limits.IdleTime)) != nil
	}
	c.mu.Unlock()
	if stop || c.input.wait() != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == closing {
		return false
	}
	c.phase = busy
	return c.rwc.SetReadDeadline(time.Now().Add(c.s.opts.Limits.HeaderTime)) == nil
}

// endIdle ends the connection where it has no request.
func (c *conn) endIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == idle {
		c.phase = closing
		_ = c.rwc.SetReadDeadline(expired) // where it fails, the connection has ended
	}
}

// readHead reads the head of a request into c.head. The error is a RefusedError, or that of reading.
func (c *conn) readHead() error {
	limit := c.s.opts.Limits.HeaderBytes
	for scanned, first := 0, true; ; {
		b := c.input.unread()
		if first && len(b) >= 2 {
			if first = false; b[0] == '\r' && b[1] == '\n' { // RFC 9112, section 2.2
				c.input.take(2)
				continue
			}
		}
		end, err := http1.RequestEnd(b, scanned)
		switch {
		case end > limit, end == 0 && len(b) >= limit:
			http1.ParseRequestLine(&c.head, b)
			return errTooLong(&c.head)
		case err != nil:
			http1.ParseRequestLine(&c.head, b)
			return err
		case end > 0:
			if err = http1.ParseRequest(&c.head, b[:end]); err == nil && c.tls != nil {
				err = c.head.ToOriginForm()
			}
			c.input.take(end)
			return err
		}
		scanned = len(b)
		if err := c.input.fill(limit); err != nil {
			http1.ParseRequestLine(&c.head, b)
			return err
		}
	}
}

func errTooLong(h *http1.RequestHead) error {
	if h.Method == "" {
		return &http1.RefusedError{Status: http.StatusRequestURITooLong, Reason: "a request line beyond the limit of a header"}
	}
	return &http1.RefusedError{Status: http.StatusRequestHeaderFieldsTooLarge, Reason: "a header beyond its limit"}
}

// refuse answers a request that cannot be served, and ends the connection: where the next request begins, nobody knows.
func (c *conn) refuse(err error) {
	var refusal *http1.RefusedError
	switch {
	case errors.As(err, &refusal):
	case errors.Is(err, os.ErrDeadlineExceeded):
		refusal = &http1.RefusedError{Status: http.StatusRequestTimeout, Reason: "the header did not arrive in time"}
	default:
		c.ending = gone // the client has, or what it sends is not TLS
		return
	}
	c.ending, c.due = ends, true
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
		c.ending = ends
	}
	c.serveBy(c.s.opts.Handler)
}

// serveBy has a handler answer what is in c.head.
func (c *conn) serveBy(handler http.Handler) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	b := c.newBody()
	r := c.request(ctx, b)
	w := &response{conn: c, request: r, body: b, header: make(http.Header, 16), length: unknownLength}
	c.output.begin()
	c.beginWatch(cancel, b)
	whole := c.run(handler, w, r)
	c.endWatch()
	b.end()
	switch {
	case w.hijacked:
		c.ending = gone
	case !whole || !w.finish():
		c.ending = aborted
	case c.ending == stays && !b.discard():
		c.ending = ends
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

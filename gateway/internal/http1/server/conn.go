package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// conn is a connection. What is not guarded is owned by the goroutine that serves it.
type conn struct {
	s        *shared
	rwc      net.Conn
	tls      *tls.ConnectionState
	remote   string
	template http.Request // what all requests have in common
	ctx      context.Context
	cancel   context.CancelFunc // of ctx
	onEnd    func()

	input  input
	output output
	watch  watch
	head   http1.RequestHead
	ending ending
	due    bool // a body has not ended
	taken  bool // by Hijack

	hasDeadline atomic.Bool // for writing, which a handler has set

	mu        sync.Mutex
	idle      bool // guarded by mu: it waits for a request
	asked     bool // guarded by mu: there was one
	lingering bool // guarded by mu: it is read away behind its last answer
}

// ending is whether, and how, a connection ends behind a request.
type ending uint8

const (
	keepAlive ending = iota
	closes           // its client may have more to send, which is read away for a while
	aborted          // likewise, and the client is not told that the answer is whole
	closed           // it is closed, or speaks HTTP no longer
)

// How long a connection is read on behind its last answer, so that the answer is not lost to a reset while its client still sends
// (RFC 9112, section 9.6): a client that writes its whole body before it reads sees an early answer.
const (
	lingerTime    = 15 * time.Second       // in all
	lingerSilence = 500 * time.Millisecond // without a byte, where nothing of a body is due, or the server shuts down
	lingerBytes   = 256 << 20
)

// firstRequestTimeout is how long a connection has for its first request once the server shuts down: it was accepted, and its client would
// have to take its end for a failure.
const firstRequestTimeout = 500 * time.Millisecond

func newConn(s *shared, rwc net.Conn, state *tls.ConnectionState) *conn {
	c := &conn{s: s, rwc: rwc, tls: state, remote: rwc.RemoteAddr().String(), onEnd: func() {}}
	c.template = http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, Body: http.NoBody, RemoteAddr: c.remote, TLS: state}
	c.input.conn, c.output.conn, c.watch.input = rwc, rwc, &c.input
	c.watch.changed = sync.NewCond(&c.watch.mu)
	return c
}

// await waits for the first byte of a request, and is false where none comes. Of a server that shuts down none but the first is
// waited for: a request that has arrived is answered.
func (c *conn) await() bool {
	c.mu.Lock()
	c.idle = true
	deadline := expired
	switch {
	case !c.s.closing.Load():
		deadline = time.Now().Add(c.s.opts.Limits.IdleTime)
	case !c.asked:
		deadline = time.Now().Add(firstRequestTimeout)
	}
	err := c.rwc.SetReadDeadline(deadline)
	c.mu.Unlock()
	if err != nil || c.input.await() != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle, c.asked = false, true
	return c.rwc.SetReadDeadline(time.Now().Add(c.s.opts.Limits.HeaderTime)) == nil
}

// endIdle ends the connection where it has no request, and soon where it has had none yet or is silent behind its last answer.
func (c *conn) endIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch { // where either fails, the connection has ended
	case c.idle && !c.asked:
		_ = c.rwc.SetReadDeadline(time.Now().Add(firstRequestTimeout))
	case c.idle:
		_ = c.rwc.SetReadDeadline(expired)
	case c.lingering:
		_ = c.rwc.SetReadDeadline(time.Now().Add(lingerSilence))
	}
}

// readHead reads the head of a request into c.head. The error is a RefusedError, or that of reading.
func (c *conn) readHead() error {
	limit := c.s.opts.Limits.HeaderBytes
	for scanned := 0; ; {
		b := c.input.unread()
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
			http1.ParseRequestLine(&c.head, c.input.unread()) // which filling has moved: b may be another connection's by now
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

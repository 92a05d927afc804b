package client

import (
	"fmt"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/viloforge/vilogate/gateway/internal/field"
	h1 "github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// output is what the framer writes to.
type output conn

// Write implements io.Writer. c.mu is held.
func (o *output) Write(p []byte) (int, error) {
	o.out = append(o.out, p...)
	o.appended += int64(len(p))
	return len(p), nil
}

// flush has what waits be written. c.mu is held.
func (c *conn) flush() {
	if len(c.out) > maxControl+maxWaiting {
		c.fail(fmt.Errorf("client: %d bytes wait to be written", len(c.out)))
	}
	if !c.writing && len(c.out) > 0 && c.err == nil {
		c.writing = true
		go c.write()
	}
}

// write writes until nothing waits.
func (c *conn) write() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.out) > 0 && c.err == nil {
		out := c.out
		c.out, c.spare, c.handed = c.spare[:0], nil, c.appended
		c.mu.Unlock()
		err := c.writeOut(out)
		c.mu.Lock()
		if cap(out) <= 2*maxWaiting {
			c.spare = out[:0]
		}
		if err != nil {
			c.fail(err)
		}
		c.wake()
	}
	c.writing = false
	c.endIdle()
}

func (c *conn) writeOut(p []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err := c.net.Write(p)
	return err
}

// wake has bodies be sent that wait. c.mu is held.
func (c *conn) wake() {
	for _, x := range c.exchanges {
		if x.waits {
			x.sendable.Signal()
		}
	}
}

// fail ends the connection, and what is under way on it. c.mu is held.
func (c *conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if !c.begun {
		close(c.ready)
	}
	for id, x := range c.exchanges {
		delete(c.exchanges, id)
		x.end(x.lostBy(err))
	}
	if c.idleTimer != nil {
		c.idleTimer.Stop()
	}
	_ = c.net.Close() // what it says of a connection that has gone is of no use
}

// lostBy is what becomes of an exchange whose connection has ended so.
func (x *Exchange) lostBy(err error) error {
	switch {
	case x.at >= x.conn.handed:
		return &UnprocessedError{Err: err}
	case x.headRead:
		return err
	}
	return &h1.ClosedError{Err: err, First: !x.conn.answered, Reused: x.reused}
}

// end is why an exchange ends before its time. c.mu is held.
func (x *Exchange) end(err error) {
	if x.err == nil {
		x.err = err
	}
	x.disarm()
	x.readable.Signal()
	x.sendable.Signal()
}

// reset ends an exchange before its time, and tells the upstream. c.mu is held.
func (x *Exchange) reset(err error, why http2.ErrCode) {
	if x.err != nil || x.sent && x.received {
		return
	}
	if x.conn.err == nil {
		_ = x.conn.framer.WriteRSTStream(x.id, why) // into memory, as all frames
		x.conn.flush()
	}
	x.leave(err)
}

// leave has the exchange be none of its connection any more; err is why, where that is before its time. c.mu is held.
func (x *Exchange) leave(err error) {
	delete(x.conn.exchanges, x.id)
	if err != nil {
		x.end(err)
	}
	x.conn.endIdle()
}

// endIdle ends a connection that nobody will use again, and has one that is idle end in time. c.mu is held.
func (c *conn) endIdle() {
	if c.err != nil || len(c.exchanges)+c.reserved > 0 {
		return
	}
	switch {
	case c.shared && !c.draining:
		if c.idle > 0 {
			c.idleSince = time.Now()
			c.runIdle(c.idle)
		}
	case !c.writing: // else when everything has been written
		c.fail(errClosed)
	}
}

// runIdle has the connection be looked at. c.mu is held.
func (c *conn) runIdle(after time.Duration) {
	if c.idleTimer != nil {
		c.idleTimer.Reset(after)
		return
	}
	c.idleTimer = time.AfterFunc(after, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err != nil || len(c.exchanges)+c.reserved > 0 {
			return
		}
		if left := c.idle - time.Since(c.idleSince); left > 0 {
			c.runIdle(left)
			return
		}
		c.drain()
	})
}

// drain has the connection end when what is under way on it has. c.mu is held.
func (c *conn) drain() {
	if c.draining || c.err != nil {
		return
	}
	c.draining = true
	_ = c.framer.WriteGoAway(0, http2.ErrCodeNo, nil)
	c.flush()
	c.endIdle()
}

// disarm has the answer's header take any time. c.mu is held.
func (x *Exchange) disarm() {
	x.expires = time.Time{}
	if x.timer != nil {
		x.timer.Stop()
	}
}

// encode appends a field to the block. c.mu is held.
func (c *conn) encode(name, value string) {
	_ = c.encoder.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: isVolatile(name)}) // into memory
}

// isVolatile reports whether a field says something else in each request, or is a secret: it is never indexed (RFC 7541, section
// 6.2.3), and so drives nothing out of the table.
func isVolatile(name string) bool {
	switch name {
	case ":path", "authorization", "content-length", "cookie", "forwarded", "grpc-timeout", "traceparent", "x-request-id", "x-user-assertion":
		return true
	}
	return false
}

// appendBlock appends what was encoded, as one header block. c.mu is held.
func (c *conn) appendBlock(id uint32, endStream bool) {
	block := c.block.Bytes()
	first := block[:min(len(block), maxData)]
	block = block[len(first):]
	_ = c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: first, EndStream: endStream, EndHeaders: len(block) == 0,
	})
	for len(block) > 0 {
		piece := block[:min(len(block), maxData)]
		block = block[len(piece):]
		_ = c.framer.WriteContinuation(id, len(block) == 0, piece)
	}
	c.block.Reset()
}

// appendRequest appends the header of a request. c.mu is held.
func (c *conn) appendRequest(id uint32, r *Request) {
	c.encode(":method", r.Method)
	c.encode(":scheme", c.scheme)
	c.encode(":authority", r.Authority)
	c.encode(":path", r.Path)
	for _, f := range r.Fields {
		c.encode(f.Name, f.Value)
	}
	c.appendBlock(id, r.Upload == nil)
}

// appendTrailer ends a request with fields. c.mu is held.
func (c *conn) appendTrailer(id uint32, fields field.List) {
	for _, f := range fields {
		c.encode(f.Name, f.Value)
	}
	c.appendBlock(id, true)
}

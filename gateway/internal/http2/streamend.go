package http2

import (
	"io"
	"time"
)

// abandon closes a stream before its time: the handler's reads and writes fail, and its context ends. The connection's mu is held.
func (st *stream) abandon(err error) {
	if st.bodyErr == nil || st.bodyErr == io.EOF && st.inbox.size > 0 {
		st.bodyErr = err
	}
	st.discard()
	st.close(err)
	st.cancel()
}

// close takes a stream off the connection. The connection's mu is held.
func (st *stream) close(err error) {
	if st.closed {
		return
	}
	st.closed, st.err = true, err
	c := st.conn
	delete(c.streams, st.id)
	c.leaveQueue(st)
	c.wake()
	st.sendable.Broadcast()
	st.readable.Broadcast()
	if len(c.streams) == 0 && c.err == nil {
		c.idleSince = time.Now()
		c.arm(c.idleSince.Add(c.limits.IdleTime))
		c.endIfDrained()
	}
}

// reset resets a stream. The connection's mu is held.
func (st *stream) reset(why code, err error) {
	if st.closed {
		return
	}
	out := st.conn.output()
	*out = appendReset(*out, st.id, why)
	st.conn.closed.add(st.id, true)
	st.abandon(err)
}

// end closes a stream whose answer has ended. What the client still sends of its request is of no use (RFC 9113, section 8.1).
// The connection's mu is held.
func (st *stream) end() {
	switch {
	case st.malformed:
		st.reset(protocolError, errMalformed)
	case !st.remoteEnded:
		st.reset(noError, errAnswered)
	case !st.closed:
		st.conn.closed.add(st.id, false)
		st.close(errAnswered)
	}
}

// discard passes over what was received and what will be, and gives the connection's window back. The connection's mu is held.
func (st *stream) discard() {
	st.discarding = true
	if n := st.inbox.discard(); n > 0 {
		st.conn.giveBack(n)
	}
}

// giveBack lets the client send n bytes more on the connection. c.mu is held.
func (c *conn) giveBack(n int) {
	if c.consumed += int64(n); c.consumed >= c.limits.ConnectionWindow/updateShare {
		out := c.output()
		*out = appendWindowUpdate(*out, 0, c.consumed)
		c.receiveWindow += c.consumed
		c.consumed = 0
	}
}

// giveBack lets the client send n bytes more on the stream, and on the connection. The connection's mu is held.
func (st *stream) giveBack(n int) {
	c := st.conn
	c.giveBack(n)
	if st.remoteEnded || st.closed || st.discarding {
		return
	}
	if st.consumed += int64(n); st.consumed >= c.limits.StreamWindow/updateShare {
		out := c.output()
		*out = appendWindowUpdate(*out, st.id, st.consumed)
		st.receiveWindow += st.consumed
		st.consumed = 0
	}
}

// goAway says that the connection ends (RFC 9113, section 6.8). c.mu is held.
func (c *conn) goAway(last uint32, why code, reason string) {
	out := c.output()
	*out = appendGoAway(*out, last, why, reason)
}

// end ends the connection: GOAWAY, and what waits before it, are written; what is still read is passed over for a second, so
// that the client sees them. c.mu is held.
func (c *conn) end(why code, reason string) {
	if c.err != nil || c.ending.Swap(true) {
		return
	}
	for _, st := range c.streams {
		st.abandon(errConnection)
	}
	c.goAway(c.last, why, reason)
	c.kick()
	_ = c.net.SetReadDeadline(time.Now().Add(lingerTime)) // where it fails, the connection is closed already
}

// endIfDrained ends a connection that was to end when its streams have. c.mu is held.
func (c *conn) endIfDrained() {
	if c.draining == lastStream && len(c.streams) == 0 {
		c.end(noError, "")
	}
}

package http2

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

package http2

import (
	"io"
)

// receiveData takes DATA (RFC 9113, section 6.1).
func (c *conn) receiveData(f *frame) error {
	if f.stream == 0 {
		return &connectionError{protocolError, "DATA on stream 0"}
	}
	if err := f.unpad(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.kick()
	if len(f.payload) > 0 {
		c.control.refill(dataTokens)
	} else if !f.has(flagEndStream) && !c.control.take() {
		return errTooManyFrames
	}
	if c.receiveWindow -= int64(f.length); c.receiveWindow < 0 {
		return &connectionError{flowControlError, "more DATA than the connection's window"}
	}
	st := c.streams[f.stream]
	if st == nil || st.remoteEnded {
		c.giveBack(f.length)
		return c.dataOfNoStream(f.stream, st)
	}
	if st.receiveWindow -= int64(f.length); st.receiveWindow < 0 {
		c.giveBack(f.length)
		return &streamError{f.stream, flowControlError, "more DATA than the stream's window"}
	}
	return st.receive(f)
}

// dataOfNoStream is DATA for a stream that takes none. c.mu is held.
func (c *conn) dataOfNoStream(id uint32, halfClosed *stream) error {
	if id > c.last {
		if c.draining == lastStream {
			return nil
		}
		return &connectionError{protocolError, "DATA on an idle stream"}
	}
	_, ours := c.closed.find(id)
	if ours && halfClosed == nil {
		return nil
	}
	return &streamError{id, streamClosed, "DATA on a closed stream"}
}

// receive takes a piece of a body. The connection's mu is held.
func (st *stream) receive(f *frame) error {
	c := st.conn
	st.received += int64(len(f.payload))
	if tooLong := st.declared >= 0 && st.received > st.declared; tooLong && !st.malformed {
		c.giveBack(f.length)
		return &streamError{st.id, protocolError, "a body longer than its Content-Length"}
	}
	if st.discarding {
		c.giveBack(f.length)
	} else {
		st.inbox.write(f.payload)
		if padding := f.length - len(f.payload); padding > 0 {
			st.giveBack(padding)
		}
	}
	if f.has(flagEndStream) {
		return st.endRequest()
	}
	st.readable.Signal()
	return nil
}

// endRequest is the end of a request's body. The connection's mu is held.
func (st *stream) endRequest() error {
	st.remoteEnded = true
	if st.declared >= 0 && st.received != st.declared && !st.malformed {
		return &streamError{st.id, protocolError, "a body shorter than its Content-Length"}
	}
	if st.bodyErr == nil {
		st.bodyErr = io.EOF
	}
	st.readable.Signal()
	return nil
}

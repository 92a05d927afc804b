package http2

import (
	"encoding/binary"
	"net/http"
	"time"
)

// receiveHeaders takes HEADERS (RFC 9113, section 6.2).
func (c *conn) receiveHeaders(f *frame) error {
	if f.stream%2 == 0 {
		return &connectionError{protocolError, "HEADERS on a stream that is not the client's"}
	}
	if err := f.unpad(); err != nil {
		return err
	}
	dependsOnItself := false
	if f.has(flagPriority) {
		if len(f.payload) < 5 {
			return &connectionError{frameSizeError, "HEADERS without its priority"}
		}
		dependsOnItself = binary.BigEndian.Uint32(f.payload)&maxStreamID == f.stream
		f.payload = f.payload[5:]
	}
	if !f.has(flagEndHeaders) {
		c.pendingID = f.stream
		c.pending = headerBlock{endStream: f.has(flagEndStream), dependsOnItself: dependsOnItself}
		return c.addToBlock(f.payload)
	}
	return c.receiveBlock(f.stream, f.payload, f.has(flagEndStream), dependsOnItself)
}

// receiveContinuation takes CONTINUATION (RFC 9113, section 6.10).
func (c *conn) receiveContinuation(f *frame) error {
	if c.pendingID == 0 || f.stream != c.pendingID {
		return &connectionError{protocolError, "CONTINUATION of no header block"}
	}
	if c.pending.continuations++; c.pending.continuations > c.limits.Continuations {
		return &connectionError{enhanceYourCalm, "a header block of too many frames"}
	}
	if err := c.addToBlock(f.payload); err != nil || !f.has(flagEndHeaders) {
		return err
	}
	p := c.pending
	c.pendingID, c.pending = 0, headerBlock{}
	return c.receiveBlock(f.stream, p.block, p.endStream, p.dependsOnItself)
}

// addToBlock keeps a part of a header block, the rest of which has a time to arrive in.
func (c *conn) addToBlock(part []byte) error {
	if len(c.pending.block)+len(part) > c.limits.maxBlock() {
		return &connectionError{enhanceYourCalm, "a header block that is too long"}
	}
	c.pending.block = append(c.pending.block, part...)
	c.awaitHeader()
	return nil
}

// awaitHeader begins the time in which a header has to arrive, unless it has begun.
func (c *conn) awaitHeader() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.headerBy.IsZero() {
		c.headerBy = time.Now().Add(c.limits.HeaderTime)
		c.arm(c.headerBy)
	}
}

// receiveBlock takes a whole header block: a request, or the trailers of one.
func (c *conn) receiveBlock(id uint32, block []byte, endStream, dependsOnItself bool) error {
	if err := c.list.decode(block); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.headerBy = time.Time{}
	if c.ending.Load() || c.err != nil {
		return errConnection // the client has been told that this is not served, or is told nothing any more
	}
	switch st := c.streams[id]; {
	case st != nil:
		return c.receiveTrailers(st, endStream)
	case id <= c.last:
		return c.headersOfNoStream(id)
	case c.draining == lastStream:
		return nil
	}
	c.last = id
	if dependsOnItself {
		return &streamError{id, protocolError, "a stream that depends on itself"}
	}
	c.control.refill(requestTokens)
	return c.receiveRequest(id, endStream)
}

// receiveRequest begins a stream. c.mu is held.
func (c *conn) receiveRequest(id uint32, endStream bool) error {
	if len(c.streams) >= c.limits.Streams || c.handlers >= 2*c.limits.Streams {
		return &streamError{id, refusedStream, "too many streams"}
	}
	t := c.list.read(endStream)
	st := c.newStream(id, t, endStream)
	h := c.handler
	switch reason := c.list.malformed; {
	case c.list.tooLarge: // what is missing may have been too long
		h = c.refusal(http.StatusRequestHeaderFieldsTooLarge, "a header that is too large")
	case reason != "":
		if !c.resets.take() {
			return errTooManyResets
		}
		st.malformed = true
		h = c.refusal(http.StatusBadRequest, reason)
	case c.list.pseudo&hasProtocol != 0 && !t.opens:
		h = c.refusal(http.StatusNotImplemented, "an extended CONNECT for another protocol than websocket") // RFC 9220, section 3
	}
	c.open(st, h)
	return nil
}

// refusal answers a request that cannot be served.
func (c *conn) refusal(status int, reason string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.Body.Close(); err != nil {
			panic(http.ErrAbortHandler)
		}
		if c.malformed != nil {
			c.malformed(w, r, status, reason)
			return
		}
		http.Error(w, http.StatusText(status), status)
	})
}

// receiveTrailers takes the trailers of a request. c.mu is held.
func (c *conn) receiveTrailers(st *stream, endStream bool) error {
	switch {
	case st.opens:
		return &streamError{st.id, protocolError, "HEADERS in a tunnel"} // RFC 9113, section 8.5
	case st.remoteEnded:
		return &streamError{st.id, streamClosed, "HEADERS behind the end of the stream"}
	case !endStream:
		return &streamError{st.id, protocolError, "trailers that do not end the stream"}
	}
	st.trailer = c.list.readTrailers(st.request.Trailer)
	if reason := c.list.malformed; reason != "" {
		return &streamError{st.id, protocolError, reason}
	}
	return st.endRequest()
}

// headersOfNoStream is HEADERS for a stream that has been closed, or passed over. c.mu is held.
func (c *conn) headersOfNoStream(id uint32) error {
	known, ours := c.closed.find(id)
	switch {
	case ours:
		return nil
	case known:
		return &connectionError{streamClosed, "HEADERS on a closed stream"}
	}
	return &connectionError{protocolError, "HEADERS on a stream below the last one"}
}

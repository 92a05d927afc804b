package http2

import (
	"slices"
	"time"
)

// output is where frames are appended. c.mu is held.
func (c *conn) output() *[]byte {
	if c.out == nil {
		c.out = outBuffers.Get().(*outBuffer)
	}
	return &c.out.b
}

// waiting is how many bytes wait to be written. c.mu is held.
func (c *conn) waiting() int {
	if c.out == nil {
		return 0
	}
	return len(c.out.b)
}

// eligible reports whether the stream may append a frame. c.mu is held.
func (c *conn) eligible(st *stream) bool {
	return c.waiting() < maxPending && (!st.wantsData || c.sendWindow > 0 && st.sendWindow > 0)
}

// nextInQueue is the stream whose turn it is; nil where nobody waits, or nobody who waits may go on. c.mu is held.
func (c *conn) nextInQueue() *stream {
	for _, st := range c.queue {
		if c.eligible(st) {
			return st
		}
	}
	return nil
}

// wake wakes the stream whose turn it is. c.mu is held.
func (c *conn) wake() {
	if len(c.queue) == 0 {
		return
	}
	if st := c.nextInQueue(); st != nil {
		st.sendable.Signal()
	}
}

// leaveQueue takes the stream out of the queue. c.mu is held.
func (c *conn) leaveQueue(st *stream) {
	if st.queued {
		st.queued = false
		c.queue = slices.DeleteFunc(c.queue, func(other *stream) bool { return other == st })
	}
}

// sent notes that the stream has sent n bytes of DATA. c.mu is held.
func (c *conn) sent(st *stream, n int) {
	c.sendWindow -= int64(n)
	st.sendWindow -= int64(n)
	c.control.refill(dataTokens + n/bytesPerToken)
	if st.progress += n; st.progress >= maxData {
		st.progress, st.stallSince = 0, time.Time{}
	}
	if c.quantum += n; c.quantum >= maxData && len(c.queue) > 0 {
		c.quantum, c.quantumAt = 0, time.Now()
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

// goAway says that the connection ends (RFC 9113, section 6.8). c.mu is held.
func (c *conn) goAway(last uint32, why code, reason string) {
	out := c.output()
	*out = appendGoAway(*out, last, why, reason)
}

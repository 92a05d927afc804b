package http2

import "time"

// drain has the connection end when its streams have (RFC 9113, section 6.8): GOAWAY is followed by a ping, and when that comes
// back, or a second has gone by, the client is told which of its streams was the last.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining != serving || c.err != nil || c.ending.Load() {
		return
	}
	c.draining = announced
	c.goAway(maxStreamID, noError, "")
	out := c.output()
	*out = appendPing(*out, 0, drainPing[:])
	c.drainBy = time.Now().Add(drainTime)
	c.arm(c.drainBy)
	c.kick()
}

// hasRequests reports whether a request is under way that has opened no WebSocket.
func (c *conn) hasRequests() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, st := range c.streams {
		if !st.tunnel {
			return true
		}
	}
	return false
}

// drainPing is the ping behind GOAWAY.
var drainPing = [8]byte{'g', 'o', 'i', 'n', 'g'}

// drained says which stream was the last. c.mu is held.
func (c *conn) drained() {
	if c.draining != announced {
		return
	}
	c.draining, c.drainBy = lastStream, time.Time{}
	if len(c.streams) == 0 {
		c.endIfDrained()
		return
	}
	c.goAway(c.last, noError, "")
	c.kick()
}

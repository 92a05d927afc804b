package http2

import (
	"io"
	"runtime"
	"time"
)

// flush writes what waits, and what is added meanwhile, unless somebody does so already. c.mu is held, and let go while it is
// written. After some rounds the rest is left to another goroutine.
func (c *conn) flush() {
	if c.writing {
		return
	}
	c.writing = true
	if c.handlers > 1 {
		// Others may be about to append something, too.
		c.mu.Unlock()
		runtime.Gosched()
		c.mu.Lock()
	}
	for range 4 {
		if !c.writeOnce() {
			return
		}
	}
	c.workers.start((*flusher)(c))
}

// kick has what waits written by another goroutine than the reader, which waits for nobody. c.mu is held.
func (c *conn) kick() {
	if !c.writing && c.waiting() > 0 {
		c.writing = true
		c.workers.start((*flusher)(c))
	}
}

// flusher is the task of writing.
type flusher conn

func (f *flusher) run() {
	c := (*conn)(f)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writeOnce() {
	}
}

// writeOnce writes what waits; false where nothing does, or nothing can be written any more: then nobody writes. c.mu is held, and
// let go while it is written.
func (c *conn) writeOnce() bool {
	if c.waiting() == 0 || c.err != nil {
		if c.err == nil && c.ending.Load() {
			c.closeWrite()
		}
		c.writing = false
		c.idle.Broadcast()
		return false
	}
	buffer := c.out
	c.out = nil
	if c.timerAt.IsZero() || time.Until(c.timerAt) > c.limits.WriteTimeout {
		c.arm(time.Now().Add(c.limits.WriteTimeout))
	}
	c.mu.Unlock()
	err := c.write(buffer.b)
	buffer.free()
	c.mu.Lock()
	if err != nil {
		c.fail(err)
	}
	c.wake()
	return true
}

// write writes TLS record by record, so that each has a timeout of its own.
func (c *conn) write(p []byte) error {
	defer c.writeBegan.Store(0)
	for len(p) > 0 {
		record := p[:min(len(p), maxFrameLength)]
		c.writeBegan.Store(time.Now().UnixNano())
		if _, err := c.net.Write(record); err != nil {
			return err
		}
		p = p[len(record):]
	}
	return nil
}

// fail ends the connection at once, and with it all streams. Only the first error counts. c.mu is held.
func (c *conn) fail(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.timer.Stop()
	for _, st := range c.streams {
		st.abandon(errConnection)
	}
	_ = c.net.SetDeadline(expired) // the reader, and who writes, return now; where it fails, the connection is closed already
}

// expired is a deadline that has passed.
var expired = time.Unix(1, 0)

// closeWrite says that nothing more is written, behind the last frame. c.mu is held, and let go meanwhile.
func (c *conn) closeWrite() {
	half, ok := c.net.(interface{ CloseWrite() error })
	if !ok {
		return
	}
	c.mu.Unlock()
	defer c.mu.Lock()
	_ = half.CloseWrite() // where it fails, the connection is closed already
}

// end ends the connection: GOAWAY, and what waits before it, are written; what is still read is passed over for a second, so
// that the client sees them. A client that is at fault has as long to take them in. c.mu is held.
func (c *conn) end(why code, reason string) {
	if c.err != nil || c.ending.Swap(true) {
		return
	}
	for _, st := range c.streams {
		st.abandon(errConnection)
	}
	c.goAway(c.last, why, reason)
	if why != noError { // else what was answered may take its time to be taken in
		c.endBy = time.Now().Add(lingerTime)
		c.arm(c.endBy)
	}
	c.kick()
	_ = c.net.SetReadDeadline(time.Now().Add(lingerTime)) // where it fails, the connection is closed already
}

// endIfDrained ends a connection that was to end when its streams have. c.mu is held.
func (c *conn) endIfDrained() {
	if c.draining == lastStream && len(c.streams) == 0 {
		c.end(noError, "")
	}
}

// abandon closes a stream before its time: the handler's reads and writes fail, and its context ends. The connection's mu is held.
func (st *stream) abandon(err error) {
	if st.bodyErr == nil || st.bodyErr == io.EOF && st.inbox.size > 0 {
		st.bodyErr = err
	}
	st.discard()
	st.close(err)
	st.Cancel()
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

// discard passes over what was received and what will be, and gives the connection's window back. The connection's mu is held.
func (st *stream) discard() {
	st.discarding = true
	if n := st.inbox.discard(); n > 0 {
		st.conn.giveBack(n)
	}
}

package http2

import (
	"slices"
	"sync"
	"time"
)

// outBuffer is a pooled buffer of frames.
type outBuffer struct{ b []byte }

var outBuffers = sync.Pool{New: func() any { return new(outBuffer) }}

func (b *outBuffer) free() {
	if cap(b.b) > 4*maxPending {
		return
	}
	b.b = b.b[:0]
	outBuffers.Put(b)
}

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

// turn waits until the stream may append a frame: there is room for it, and, for DATA, both windows are open. Streams take
// turns, a frame each. c.mu is held, and let go while it waits.
func (c *conn) turn(st *stream, data bool) error {
	st.wantsData = data
	for st.err == nil {
		if c.eligible(st) {
			if next := c.nextInQueue(); next == nil || next == st {
				c.leaveQueue(st)
				return nil
			}
		}
		if !st.queued {
			st.queued = true
			c.queue = append(c.queue, st)
		}
		if data && st.stallSince.IsZero() {
			st.stallSince = time.Now()
			c.arm(st.stallSince.Add(c.limits.WriteTimeout))
		}
		if c.waiting() > 0 && !c.writing {
			c.flush()
			continue
		}
		st.sendable.Wait()
	}
	c.leaveQueue(st)
	c.wake()
	return st.err
}

// sent notes that the stream has sent n bytes of DATA. c.mu is held.
func (c *conn) sent(st *stream, n int) {
	c.sendWindow -= int64(n)
	st.sendWindow -= int64(n)
	c.control.earn(dataEarns)
	if st.progress += n; st.progress >= maxFrameLength {
		st.progress, st.stallSince = 0, time.Time{}
	}
	if c.quantum += n; c.quantum >= maxFrameLength && len(c.queue) > 0 {
		c.quantum, c.quantumAt = 0, time.Now()
	}
}

// flush writes what waits, and what is added meanwhile, unless somebody does so already. c.mu is held, and let go while it is
// written. After some rounds the rest is left to another goroutine.
func (c *conn) flush() {
	if c.writing {
		return
	}
	c.writing = true
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

// expired is a deadline that has passed.
var expired = time.Unix(1, 0)

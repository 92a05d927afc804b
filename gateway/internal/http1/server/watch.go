package server

import (
	"context"
	"time"
)

// watchDelay is how long a request takes before anybody looks whether its client is still there.
const watchDelay = 20 * time.Millisecond

// watch finds out whether the client goes away while its request is served: a read waits for it, once the body has ended. What
// else comes is the next request's.
type watch struct {
	timer     *time.Timer
	cancel    context.CancelFunc // of the request; nil while there is none
	bodyEnded bool
	reading   bool // a goroutine waits for a byte
	stopping  bool // it is to end
	hasByte   bool // it has read one
}

// beginWatch begins with a request.
func (c *conn) beginWatch(cancel context.CancelFunc, b *body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch.cancel, c.watch.bodyEnded = cancel, b == nil
	if b == nil {
		c.armWatch()
	}
}

// bodyHasEnded has the watch begin behind a body.
func (c *conn) bodyHasEnded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watch.cancel != nil {
		c.watch.bodyEnded = true
		c.armWatch()
	}
}

// armWatch has the watch begin after a while. c.mu is held.
func (c *conn) armWatch() {
	if c.watch.timer == nil {
		c.watch.timer = time.AfterFunc(watchDelay, c.watchClient)
		return
	}
	c.watch.timer.Reset(watchDelay)
}

// watchClient reads a byte, or learns that there will be none.
func (c *conn) watchClient() {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.watch
	if w.cancel == nil || !w.bodyEnded || w.reading || w.hasByte || c.input.start < c.input.end || c.rwc.SetReadDeadline(time.Time{}) != nil {
		return
	}
	w.reading = true
	c.mu.Unlock()
	n, err := readSome(c.rwc, c.input.first[:])
	c.mu.Lock()
	w.reading, w.hasByte = false, n > 0
	if err != nil && n == 0 && !w.stopping {
		w.cancel()
	}
	c.changed.Broadcast()
}

// endWatch ends with the request.
func (c *conn) endWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &c.watch
	w.cancel = nil
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.reading {
		w.stopping = true
		_ = c.rwc.SetReadDeadline(expired) // where it fails, the read has ended
		for w.reading {
			c.changed.Wait()
		}
		w.stopping = false
	}
	if w.hasByte {
		w.hasByte = false
		c.input.push()
	}
}

// abandon ends the request that is under way, and the connection with it. Any goroutine may call it.
func (c *conn) abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watch.cancel != nil {
		c.watch.cancel()
	}
}

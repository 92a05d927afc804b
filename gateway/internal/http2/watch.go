package http2

import (
	"os"
	"time"
)

// watch is what the timer does: it ends what has taken too long, and has the timer run again for what is next.
func (c *conn) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timerAt = time.Time{}
	if c.err != nil {
		return
	}
	w := watched{now: time.Now()}
	c.watchConnection(&w)
	for _, st := range c.streams {
		st.watch(&w)
	}
	if c.kick(); !w.next.IsZero() {
		c.arm(w.next)
	}
}

// watched is a look at all timeouts.
type watched struct{ now, next time.Time }

// passed reports whether a time has come; else it is looked at again then. The zero time never comes.
func (w *watched) passed(at time.Time) bool {
	switch {
	case at.IsZero():
		return false
	case !w.now.Before(at):
		return true
	case w.next.IsZero() || at.Before(w.next):
		w.next = at
	}
	return false
}

func (c *conn) watchConnection(w *watched) {
	if began := c.writeBegan.Load(); began != 0 && w.passed(time.Unix(0, began).Add(c.limits.WriteTimeout)) {
		c.fail(os.ErrDeadlineExceeded)
		return
	}
	switch {
	case c.ending.Load():
		if w.passed(c.endBy) {
			c.fail(os.ErrDeadlineExceeded)
		}
	case w.passed(c.headerBy):
		c.end(enhanceYourCalm, "a header takes too long")
	case len(c.streams) == 0 && w.passed(c.idleSince.Add(c.limits.IdleTime)):
		c.end(noError, "idle")
	case w.passed(c.drainBy):
		c.drained()
	}
}

func (st *stream) watch(w *watched) {
	c := st.conn
	if !st.waitSince.IsZero() && w.passed(st.waitSince.Add(st.credit)) || w.passed(st.readBy) {
		st.waitSince, st.readBy = time.Time{}, time.Time{}
		st.stopReading(os.ErrDeadlineExceeded)
	}
	stalled := st.stallSince
	if st.sendWindow > 0 && c.quantumAt.After(stalled) && !stalled.IsZero() {
		stalled = c.quantumAt // others have their turn
	}
	if !stalled.IsZero() && w.passed(stalled.Add(c.limits.WriteTimeout)) || w.passed(st.writeBy) {
		st.reset(internalError, os.ErrDeadlineExceeded)
	}
}

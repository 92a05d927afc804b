package http2

import (
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// dateText is the Date of answers, which changes once a second.
type dateText struct {
	second int64
	text   string
}

var lastDate atomic.Pointer[dateText]

func date() string {
	now := time.Now()
	if d := lastDate.Load(); d != nil && d.second == now.Unix() {
		return d.text
	}
	d := &dateText{now.Unix(), now.UTC().Format(http.TimeFormat)}
	lastDate.Store(d)
	return d.text
}

// turn waits until the stream may append a frame: there is room for it, and, for DATA, both windows are open. Streams take
// turns, a frame each. c.mu is held, and let go while it waits.
func (c *conn) turn(st *stream, data bool) error {
	for st.err == nil {
		if data && st.localEnded {
			return errAnswered
		}
		st.wantsData = data
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

// send sends the header, what is kept of the body, and p behind it.
func (st *stream) send(p []byte) error {
	c := st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	err := st.sendHead(false)
	if err == nil {
		err = st.sendKept(false)
	}
	if err == nil && len(p) > 0 {
		err = st.sendData(p, false)
	}
	if c.flush(); err == nil {
		err = st.err // of writing it
	}
	st.answer.failed = err
	return err
}

// sendHead sends the header, unless it was. The connection's mu is held.
func (st *stream) sendHead(endStream bool) error {
	a := &st.answer
	if a.headWritten {
		return st.err
	}
	a.headWritten = true
	list := a.fields
	a.fields = nil
	defer list.free()
	if !a.hasDate {
		list.all = append(list.all, field.Field{Name: "date", Value: date()})
	}
	if err := st.conn.turn(st, false); err != nil {
		return err
	}
	st.headSent = true
	st.conn.appendFields(st, a.status, list.all, endStream)
	return nil
}

// sendKept sends what was written and kept. The connection's mu is held.
func (st *stream) sendKept(endStream bool) error {
	kept := st.answer.buffer
	if kept == nil {
		return st.err
	}
	st.answer.buffer = nil
	err := st.sendData(kept.bytes[:kept.n], endStream)
	kept.n = 0
	answerBuffers.Put(kept)
	return err
}

// sendData sends p, as the windows and the other streams let it. The connection's mu is held.
func (st *stream) sendData(p []byte, endStream bool) error {
	c := st.conn
	for first := true; first || len(p) > 0; first = false {
		if err := c.turn(st, len(p) > 0); err != nil {
			return err
		}
		n := min(int64(len(p)), maxData)
		if n > 0 {
			n = min(n, c.sendWindow, st.sendWindow)
		}
		piece := p[:n]
		flags := uint8(0)
		if p = p[n:]; len(p) == 0 && endStream {
			flags = flagEndStream
		}
		out := c.output()
		*out = append(appendFrameHeader(*out, dataFrame, flags, st.id, len(piece)), piece...)
		c.sent(st, len(piece))
		c.wake()
	}
	st.progress, st.stallSince = 0, time.Time{}
	return nil
}

// finish sends the rest of an answer whose handler has returned. The length of one that is wholly here is said. An answer that is
// shorter than it says is cut off (RFC 9113, section 8.1.1).
func (st *stream) finish() {
	a := &st.answer
	kept := 0
	if a.buffer != nil {
		kept = a.buffer.n
	}
	a.declareWhole()
	list := fieldLists.Get().(*fieldList)
	defer list.free()
	trailers := a.trailers(list)
	short := a.declared >= 0 && a.written != a.declared && !a.noBody
	ends := len(trailers) == 0 && !short
	headEnds := ends && kept == 0 && !a.headWritten
	c := st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	err := st.sendHead(headEnds)
	switch {
	case err != nil:
	case kept > 0:
		err = st.sendKept(ends)
	case ends && !headEnds:
		err = st.sendData(nil, true)
	}
	switch {
	case err != nil:
	case short:
		st.reset(internalError, http.ErrContentLength)
	case ends:
		st.end()
	default:
		st.sendTrailers(trailers)
	}
	c.flush()
}

// declareWhole says how long an answer is of which nothing has been sent.
func (a *answer) declareWhole() {
	if a.headWritten || a.declared >= 0 || a.noBody && a.written == 0 {
		return
	}
	a.fields.all = append(a.fields.all, field.Field{Name: "content-length", Value: strconv.FormatInt(a.written, 10)})
}

// sendTrailers ends the answer with trailers. The connection's mu is held.
func (st *stream) sendTrailers(trailers field.List) {
	if st.conn.turn(st, false) == nil {
		st.conn.appendFields(st, 0, trailers, true)
		st.end()
	}
}

// abort ends an answer whose handler has failed: what was written leaves before.
func (st *stream) abort() {
	if st.answer.status != 0 {
		_ = st.send(nil) // it fails where the stream has ended before
	}
	c := st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	st.reset(internalError, http.ErrAbortHandler)
	c.flush()
}

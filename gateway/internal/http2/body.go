package http2

import (
	"io"
	"net/http"
	"os"
	"time"
)

// body is a request's body. One goroutine reads it, which may be another than the handler's; any may end the reading.
type body stream

// Read implements io.Reader. The error of a client that is too slow is an os.ErrDeadlineExceeded, and so is that of a read that
// Interrupt has ended.
func (b *body) Read(p []byte) (int, error) {
	st := (*stream)(b)
	c := st.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if st.inbox.size == 0 && st.bodyErr == nil && len(p) > 0 {
		st.sendContinue()
		st.await()
	}
	if st.inbox.size == 0 {
		if st.bodyErr == io.EOF {
			st.fillTrailer()
		}
		return 0, st.bodyErr
	}
	n := st.inbox.read(p)
	st.giveBack(n)
	if st.credit < c.limits.BodyTimeout {
		st.credit = min(st.credit+time.Duration(n)*time.Second/time.Duration(c.limits.BodyMinRate), c.limits.BodyTimeout)
	}
	if st.inbox.size == 0 && st.bodyErr == io.EOF {
		st.fillTrailer()
		return n, io.EOF
	}
	c.kick()
	return n, nil
}

// await waits for something to read. The connection's mu is held, and let go while it waits. Only this time counts of the time
// that a body with a minimum rate has.
func (st *stream) await() {
	c := st.conn
	bounded := c.limits.BodyMinRate > 0 && st.declared > 0
	if bounded {
		st.waitSince = time.Now()
		c.arm(st.waitSince.Add(st.credit))
	}
	c.kick()
	for st.inbox.size == 0 && st.bodyErr == nil {
		st.readable.Wait()
	}
	if bounded {
		st.credit -= time.Since(st.waitSince)
		st.waitSince = time.Time{}
	}
}

// sendContinue tells a client that waits for it to send the body (RFC 9110, section 10.1.1). The connection's mu is held.
func (st *stream) sendContinue() {
	if !st.expects || st.headSent || st.closed {
		return
	}
	st.expects = false
	st.conn.appendFields(st, http.StatusContinue, nil, false)
}

// fillTrailer puts the trailers that were announced into the request. The connection's mu is held.
func (st *stream) fillTrailer() {
	for key, values := range st.trailer {
		st.request.Trailer[key] = values
	}
	st.trailer = nil
}

// stopReading ends the reading with an error: a read that waits, and every further one. The connection's mu is held.
func (st *stream) stopReading(err error) {
	if st.bodyErr == nil || st.bodyErr == io.EOF {
		st.bodyErr = err
	}
	st.discard()
	st.readable.Broadcast()
}

// Interrupt ends the reading of the body: a read that waits for the client, and every further one. Any goroutine may call it, at
// any time.
func (b *body) Interrupt() error {
	st := (*stream)(b)
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	st.stopReading(os.ErrDeadlineExceeded)
	st.conn.kick()
	return nil
}

// Abort is Interrupt: a stream of HTTP/2 has no other request behind it.
func (b *body) Abort() error { return b.Interrupt() }

// Close implements io.Closer.
func (b *body) Close() error {
	st := (*stream)(b)
	st.conn.mu.Lock()
	defer st.conn.mu.Unlock()
	st.stopReading(http.ErrBodyReadAfterClose)
	st.conn.kick()
	return nil
}

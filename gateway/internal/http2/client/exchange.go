package client

import (
	"context"
	"errors"
	"io"

	"golang.org/x/net/http2"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// largestPiece is how many bytes Next returns at most.
const largestPiece = 32 << 10

// open sends the request's header in the place that was reserved for it; false where the connection has ended meanwhile.
func (c *conn) open(r *Request) (*Exchange, bool) {
	x := newExchange(c, r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reserved--
	if c.err != nil || c.draining {
		c.endIdle()
		return nil, false
	}
	x.id, x.reused, x.at, x.sendWindow = c.nextID, c.nextID > 1, c.appended, c.initialWindow
	c.nextID += 2
	if c.nextID > maxStreamID {
		c.draining = true
	}
	c.exchanges[x.id] = x
	c.appendRequest(x.id, r)
	if r.Upload == nil {
		x.sent = true
		x.arm()
	} else {
		x.upload = newUpload(x)
	}
	c.flush()
	return x, true
}

// run sends the rest of the request, and returns when the answer's header has come. Where it does not, the exchange is closed.
func (x *Exchange) run(ctx context.Context) error {
	x.watch(ctx, x.abort)
	if x.upload != nil {
		go x.upload.run()
	}
	err := x.awaitHead()
	if err == nil {
		return nil
	}
	x.Close()
	if unprocessed, ok := errors.AsType[*UnprocessedError](err); ok {
		if unprocessed.Whole = true; x.upload != nil {
			unprocessed.Read, unprocessed.Whole = x.upload.begun, x.upload.whole
		}
	}
	return err
}

// awaitHead waits for the header of the final answer, and tells of those before it.
func (x *Exchange) awaitHead() error {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case len(x.answers) > 0:
			head := x.answers[0]
			x.answers = x.answers[1:]
			if x.request.Informational != nil {
				c.mu.Unlock()
				x.request.Informational(head)
				c.mu.Lock()
			}
		case x.headRead:
			return nil
		case x.err != nil:
			return x.err
		default:
			x.readable.Wait()
		}
	}
}

// Next is the next piece of the answer's body, which is good until the next call; io.EOF where it has ended whole. Where it
// has to wait for the upstream, it calls pause before.
func (x *Exchange) Next(pause func()) ([]byte, error) {
	if len(x.rest) == 0 {
		if err := x.take(pause); err != nil {
			return nil, err
		}
	}
	piece := x.rest[:min(len(x.rest), largestPiece)]
	x.rest = x.rest[len(piece):]
	x.giveBack(len(piece))
	return piece, nil
}

// Poll is Next without waiting for the upstream; ready is false where Next would wait.
func (x *Exchange) Poll() (piece []byte, ready bool, err error) {
	x.conn.mu.Lock()
	waits := len(x.rest) == 0 && len(x.inbox) == 0 && !x.received && x.err == nil
	x.conn.mu.Unlock()
	if waits {
		return nil, false, nil
	}
	piece, err = x.Next(nil)
	return piece, true, err
}

// take waits for something of the body, and takes all that there is.
func (x *Exchange) take(pause func()) error {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(x.inbox) == 0 {
		switch {
		case x.received:
			return io.EOF
		case x.err != nil:
			return x.err
		case pause != nil:
			c.mu.Unlock()
			pause()
			pause = nil
			c.mu.Lock()
		default:
			x.readable.Wait()
		}
	}
	x.taken, x.inbox = x.inbox, x.taken[:0]
	x.rest = x.taken
	return nil
}

// Keep leaves the piece that was returned last valid for good.
func (x *Exchange) Keep() {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	x.taken = nil // whose bytes are in rest, too
}

// giveBack lets the upstream send n bytes more.
func (x *Exchange) giveBack(n int) {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.received || x.err != nil {
		return
	}
	if x.consumed += int64(n); x.consumed >= streamWindow/2 {
		_ = c.framer.WriteWindowUpdate(x.id, uint32(x.consumed))
		x.window += x.consumed
		x.consumed = 0
		c.flush()
	}
}

// Trailer are the fields behind the body, once it has ended.
func (x *Exchange) Trailer() field.List {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	return x.trailer
}

// Complete reports whether the body's end has come, so that nothing waits for the upstream any more.
func (x *Exchange) Complete() bool {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	return x.received || x.err != nil
}

// Abort ends the exchange: whoever waits for it hears an error. Any goroutine may call it, at any time.
func (x *Exchange) Abort() { x.abort(errAborted) }

func (x *Exchange) abort(cause error) {
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	if !x.received {
		x.inbox = x.inbox[:0] // nobody is to be given it
	}
	x.reset(cause, http2.ErrCodeCancel)
}

// Close ends the exchange, with the sending of its body; again, it does nothing.
func (x *Exchange) Close() {
	if x.closed {
		return
	}
	x.closed = true
	x.stop()
	x.abort(errAnswered)
	if x.upload != nil {
		x.upload.end()
	}
	x.conn.mu.Lock()
	defer x.conn.mu.Unlock()
	if x.upload != nil {
		_, unprocessed := errors.AsType[*UnprocessedError](x.err)
		x.upload.free(unprocessed)
	}
	x.disarm()
	x.taken, x.rest = freed(x.taken), nil
	x.inbox = freed(x.inbox)
}

// freed gives a buffer back.
func freed(b []byte) []byte {
	if cap(b) > 0 && cap(b) <= maxBuffer {
		b = b[:0]
		buffers.Put(&b)
	}
	return nil
}

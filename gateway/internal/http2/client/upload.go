package client

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// expectTimeout is how long a body waits for 100 Continue.
const expectTimeout = time.Second

var errShortBody = errors.New("client: a request's body ended before its length")

// pieces are what bodies are read into.
var pieces = sync.Pool{New: func() any { return new([maxData]byte) }}

func newUpload(x *Exchange) *upload {
	u := &upload{Upload: x.request.Upload, x: x, done: make(chan struct{}), whole: true}
	if u.Expect {
		u.proceed = make(chan struct{})
	}
	return u
}

// release has the body be sent, or not any more, that waits for being asked for.
func (u *upload) release() {
	if u != nil && u.proceed != nil {
		u.once.Do(func() { close(u.proceed) })
	}
}

// run sends the body.
func (u *upload) run() {
	defer close(u.done)
	if u.proceed != nil {
		timer := time.NewTimer(expectTimeout)
		defer timer.Stop()
		select {
		case <-u.proceed:
		case <-timer.C:
		}
	}
	if err := u.send(); err != nil {
		c := u.x.conn
		c.mu.Lock()
		defer c.mu.Unlock()
		u.x.reset(err, http2.ErrCodeCancel)
	}
}

// isOver reports whether nobody takes the body any more.
func (u *upload) isOver() bool {
	c := u.x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	return u.x.err != nil
}

// send reads and sends until the body has ended. The error is that of reading it.
func (u *upload) send() error {
	u.piece = pieces.Get().(*[maxData]byte)
	buffer, begun := u.piece[:], 0
	for left := u.Length; !u.isOver(); {
		n, err := u.Body.Read(buffer[begun:])
		data := buffer[begun : begun+n]
		if u.Length >= 0 {
			if data = data[:min(int64(n), left)]; err == io.EOF && int64(n) < left {
				err = errShortBody
			}
			if left -= int64(len(data)); left == 0 {
				err = io.EOF
			}
		}
		// The first pieces are kept one behind the other, so that they can be sent again.
		if u.whole {
			begun += len(data)
			u.begun = buffer[:begun]
		}
		if !u.x.sendData(data, err == io.EOF) || err == io.EOF {
			break
		}
		if err != nil {
			u.whole = false
			return err
		}
		if begun == len(buffer) {
			u.whole, u.begun, begun = false, nil, 0
		}
	}
	return nil
}

// end ends the sending, where it has not ended.
func (u *upload) end() {
	u.release()
	select {
	case <-u.done:
	default:
		u.Interrupt()
		<-u.done
	}
}

// free gives the buffer back, and keeps what is to be sent again.
func (u *upload) free(again bool) {
	u.whole = u.whole && again
	begun := u.begun
	if u.begun = nil; u.whole {
		u.begun = append([]byte(nil), begun...)
	}
	if u.piece != nil {
		pieces.Put(u.piece)
		u.piece = nil
	}
}

// sendData sends a piece of the body, and reports whether somebody takes it.
func (x *Exchange) sendData(p []byte, last bool) bool {
	c := x.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(p) > 0 {
		n := x.awaitWindow(len(p))
		if n == 0 {
			return false
		}
		_ = c.framer.WriteData(x.id, false, p[:n])
		c.sendWindow -= int64(n)
		x.sendWindow -= int64(n)
		p = p[n:]
		c.flush()
	}
	if x.err != nil {
		return false
	}
	if last {
		x.sendEnd()
	}
	return true
}

// awaitWindow waits until something may be sent, of so many bytes, and returns how many; 0 where the exchange has ended. c.mu is held,
// and let go while it waits.
func (x *Exchange) awaitWindow(most int) int {
	c := x.conn
	for x.err == nil {
		if n := min(int64(most), maxData, c.sendWindow, x.sendWindow); n > 0 && len(c.out) < maxWaiting {
			x.disarm()
			return int(n)
		}
		x.arm()
		x.waits = true
		x.sendable.Wait()
		x.waits = false
	}
	return 0
}

// sendEnd ends the request. c.mu is held.
func (x *Exchange) sendEnd() {
	c := x.conn
	if fields := x.trailerFields(); len(fields) > 0 {
		c.appendTrailer(x.id, fields)
	} else {
		_ = c.framer.WriteData(x.id, true, nil)
	}
	c.flush()
	x.sent = true
	x.arm()
	if x.received {
		x.leave(nil)
	}
}

// trailerFields are the fields behind the request's body, with names in lower case.
func (x *Exchange) trailerFields() field.List {
	if x.request.Upload.Trailer == nil {
		return nil
	}
	var fields field.List
	for _, f := range x.request.Upload.Trailer() {
		if request.IsToken(f.Name) && field.IsValue(f.Value) {
			fields.Add(strings.ToLower(f.Name), f.Value)
		}
	}
	return fields
}

// arm has the answer's header, or the taking of the body, take HeaderTimeout from now at most, unless that runs already. c.mu is held.
func (x *Exchange) arm() {
	timeout := x.request.HeaderTimeout
	if timeout <= 0 || x.headRead || !x.expires.IsZero() {
		return
	}
	x.expires = time.Now().Add(timeout)
	if x.timer != nil {
		x.timer.Reset(timeout)
		return
	}
	x.timer = time.AfterFunc(timeout, func() {
		x.conn.mu.Lock()
		defer x.conn.mu.Unlock()
		if !x.expires.IsZero() && !time.Now().Before(x.expires) {
			x.reset(os.ErrDeadlineExceeded, http2.ErrCodeCancel)
		}
	})
}

package http3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// timed gives the body and the answer of each request their time limits.
type timed struct {
	next   http.Handler
	limits Limits
}

// ServeHTTP implements http.Handler.
func (t *timed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
		c.begin()
		defer c.end()
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	*r = *r.WithContext(ctx)
	a := &answer{ResponseWriter: w, control: http.NewResponseController(w), timeout: t.limits.WriteTimeout, cancel: cancel}
	b := &body{ReadCloser: r.Body, answer: a, timeout: t.limits.BodyTimeout, credit: t.limits.BodyTimeout}
	if r.ContentLength >= 0 {
		b.rate = t.limits.BodyMinRate
	}
	delete(r.Header, "Host") // r.Host is the same
	r.Body = b
	if r.ContentLength == 0 {
		r.Body = http.NoBody
	}
	a.body = b
	t.next.ServeHTTP(a, r)
	if a.isEnded() {
		panic(http.ErrAbortHandler) // resets the stream: else what was cut off seems whole
	}
}

// body is a request's body. One goroutine reads it, and any may interrupt that.
type body struct {
	io.ReadCloser
	answer  *answer
	rate    int64 // bytes a second; 0 for any
	timeout time.Duration
	credit  time.Duration // how long the next read may take

	mu       sync.Mutex
	deadline time.Time // guarded by mu: that a handler has set
}

// Read implements io.Reader. The error of one that took too long is os.ErrDeadlineExceeded.
func (b *body) Read(p []byte) (int, error) {
	began := time.Now()
	if err := b.begin(began); err != nil {
		return 0, err
	}
	n, err := b.ReadCloser.Read(p)
	if b.rate > 0 {
		earned := time.Duration(n) * time.Second / time.Duration(b.rate)
		b.credit = min(b.credit-time.Since(began)+earned, b.timeout)
	}
	return n, err
}

// begin sets the deadline of a read.
func (b *body) begin(now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	deadline := b.deadline
	if slow := now.Add(b.credit); b.rate > 0 && (deadline.IsZero() || slow.Before(deadline)) {
		deadline = slow
	}
	return b.answer.control.SetReadDeadline(deadline)
}

// answer is what a handler writes its answer to. Deadlines may be set by any goroutine.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	body    *body
	timeout time.Duration
	cancel  context.CancelFunc // of the request

	mu          sync.Mutex
	hasDeadline bool // guarded by mu: for writing, which a handler has set
	ended       bool // guarded by mu: it had passed
}

func (a *answer) isEnded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if err := a.begin(); err != nil {
		return 0, err
	}
	return a.ResponseWriter.Write(p)
}

// begin sets the deadline of a write.
func (a *answer) begin() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.hasDeadline {
		return nil
	}
	return a.control.SetWriteDeadline(time.Now().Add(a.timeout))
}

// FlushError is for http.ResponseController.
func (a *answer) FlushError() error { return errors.Join(a.begin(), a.control.Flush()) }

// Flush implements http.Flusher.
func (a *answer) Flush() { _ = a.FlushError() } // where it fails, so does the next write

// EnableFullDuplex is for http.ResponseController: it always is.
func (a *answer) EnableFullDuplex() error { return nil }

// SetReadDeadline is for http.ResponseController. It holds for a read that waits, too.
func (a *answer) SetReadDeadline(t time.Time) error {
	a.body.mu.Lock()
	defer a.body.mu.Unlock()
	a.body.deadline = t
	return a.control.SetReadDeadline(t)
}

// SetWriteDeadline is for http.ResponseController. One that has passed ends the request: its context, and the reading of its body,
// end at once, and its stream is reset when the handler returns.
func (a *answer) SetWriteDeadline(t time.Time) error {
	ends := !t.IsZero() && !t.After(time.Now())
	a.mu.Lock()
	a.hasDeadline, a.ended = !t.IsZero(), a.ended || ends
	err := a.control.SetWriteDeadline(t)
	a.mu.Unlock()
	if ends {
		a.cancel()
		err = errors.Join(err, a.SetReadDeadline(t))
	}
	return err
}

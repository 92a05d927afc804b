package edge

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// boundUploads cuts an upload of a known length off (slow POST) when it falls
// behind rate bytes a second by more than the timeout. Nothing limits the total time of a body,
// nor the pauses of one without a length: it may be half of a conversation.
func boundUploads(next http.Handler, rate int64, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		body := newUpload(r, control, timeout)
		if r.ContentLength > 0 {
			body.rate = rate
		}
		if err := body.limitDrain(); err != nil {
			panic(http.ErrAbortHandler)
		}
		// A copy: net/http looks at the body of its own request to see whether the connection can have another, which
		// would else be read out of what is left of this one.
		r = r.WithContext(r.Context())
		r.Body = body
		defer func() {
			if err := errors.Join(body.end(), body.stall.close(), body.limitDrain()); err != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		if !body.http1 {
			next.ServeHTTP(w, r)
			return
		}
		a := &answer{ResponseWriter: w, body: body}
		next.ServeHTTP(a, r)
		a.begin()
		if body.broken.Load() && !a.last {
			_ = control.Flush() // as much of the answer as there is
			panic(http.ErrAbortHandler)
		}
	})
}

// answer is the answer to an upload of HTTP/1. Where a body broke off, nobody
// knows where the next request begins. net/http ends such a connection only when
// it reads the rest of the body itself, which it does not in full duplex.
type answer struct {
	http.ResponseWriter
	body  *upload
	begun bool
	last  bool // its header says that the connection ends
}

func (a *answer) begin() {
	if a.begun {
		return
	}
	a.begun = true
	if a.body.broken.Load() {
		a.Header().Set("Connection", "close")
	}
	a.last = a.Header().Get("Connection") == "close"
}

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		a.begin()
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	return a.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (a *answer) FlushError() error {
	a.begin()
	return a.body.control.Flush()
}

// Flush implements http.Flusher.
func (a *answer) Flush() {
	if err := a.FlushError(); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// upload is a body that must arrive at a minimum rate. One goroutine reads it,
// which may be another than the handler's: the upstream's connection.
type upload struct {
	io.ReadCloser
	control *http.ResponseController
	stall   *stallTimer
	http1   bool
	started bool
	broken  atomic.Bool // a read failed before the end of the body
	rate    int64       // bytes a second; 0 for none
	timeout time.Duration
	credit  time.Duration // how long the next read may take

	mu          sync.Mutex // guards the following
	idle        *sync.Cond // nobody reads any more
	reading     bool
	interrupted bool
	aborted     bool  // the connection ends with the request
	err         error // of every further read
}

func newUpload(r *http.Request, control *http.ResponseController, timeout time.Duration) *upload {
	u := &upload{
		ReadCloser: r.Body, control: control, stall: newStallTimer(control.SetReadDeadline),
		http1: r.ProtoMajor == 1, timeout: timeout, credit: timeout,
	}
	u.idle = sync.NewCond(&u.mu)
	return u
}

// Read implements io.Reader. An error of a client that is too slow is an
// os.ErrDeadlineExceeded, and so is that of a read that Interrupt has ended.
func (u *upload) Read(p []byte) (int, error) {
	if err := u.begin(); err != nil {
		return 0, err
	}
	n, err := u.read(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reading = false
	u.idle.Broadcast()
	if err != nil && u.err == nil {
		u.err = err
	}
	if u.interrupted || err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, http.ErrBodyReadAfterClose) {
		u.broken.Store(true)
	}
	return n, err
}

// begin begins a read, if there is anything to read.
func (u *upload) begin() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	if !u.started && u.http1 {
		if err := u.control.SetReadDeadline(time.Time{}); err != nil {
			return err
		}
	}
	u.started, u.reading = true, true
	return nil
}

func (u *upload) read(p []byte) (int, error) {
	if u.rate == 0 {
		return u.ReadCloser.Read(p)
	}
	began := time.Now()
	u.stall.start(u.credit)
	n, err := u.ReadCloser.Read(p)
	u.stall.stop()
	earned := time.Duration(n) * time.Second / time.Duration(u.rate)
	u.credit = min(u.credit-time.Since(began)+earned, u.timeout)
	return n, err
}

// Interrupt ends the reading of the body: a read that waits for the client, and
// every further one. Any goroutine may call it, at any time.
func (u *upload) Interrupt() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err == nil {
		u.err = http.ErrBodyReadAfterClose
	}
	if !u.reading {
		return nil
	}
	u.interrupted = true
	return u.control.SetReadDeadline(expired)
}

// Abort is Interrupt where the connection of HTTP/1 is to end with the request: of the rest of the body nothing is read.
func (u *upload) Abort() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.aborted = true
	if u.err == nil {
		u.err = http.ErrBodyReadAfterClose
	}
	u.broken.Store(true)
	return u.control.SetReadDeadline(expired)
}

// end interrupts a body of HTTP/1 that is still read when the handler has
// returned, and waits until it is not. net/http would do so later, and take the
// deadline of its own draining back.
func (u *upload) end() error {
	if !u.http1 {
		return nil
	}
	if err := u.Interrupt(); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.reading {
		u.idle.Wait()
	}
	return nil
}

// Close implements io.Closer. It reads what is left of a small body.
func (u *upload) Close() error {
	err := errors.Join(u.end(), u.limitDrain(), u.ReadCloser.Close())
	if err != nil {
		u.broken.Store(true)
	}
	if u.http1 {
		// From here on net/http only watches for the client to go away, which has no end of time.
		err = errors.Join(err, u.control.SetReadDeadline(time.Time{}))
	}
	return err
}

// limitDrain sets the read deadline for net/http's own draining of what the
// handler leaves of a body of HTTP/1, to reuse the connection (keep-alive).
func (u *upload) limitDrain() error {
	if !u.http1 {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.aborted {
		return u.control.SetReadDeadline(expired)
	}
	return u.control.SetReadDeadline(time.Now().Add(u.timeout))
}

package edge

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// grace is how long an upload may take to begin, and how far it may fall behind.
const grace = 10 * time.Second

// minimumRate cuts uploads of a known length off when they fall behind rate
// bytes a second. Nothing limits the total time of a body: the deadline moves
// with what has arrived.
func minimumRate(next http.Handler, rate int64) http.Handler {
	if rate <= 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &upload{ReadCloser: r.Body, control: http.NewResponseController(w), rate: rate, began: time.Now()}
		r.Body = body
		next.ServeHTTP(w, r)
	})
}

// upload is a body that must arrive at a minimum rate. One goroutine reads it.
type upload struct {
	io.ReadCloser
	control *http.ResponseController
	rate    int64
	began   time.Time
	waited  time.Duration // by the reader, between two reads: not the client's fault
	last    time.Time
	arrived int64
}

// Read implements io.Reader. Time in which nobody reads does not count.
func (u *upload) Read(p []byte) (int, error) {
	now := time.Now()
	if !u.last.IsZero() {
		u.waited += now.Sub(u.last)
	}
	due := u.began.Add(u.waited + grace + time.Duration(u.arrived)*time.Second/time.Duration(u.rate))
	if err := u.control.SetReadDeadline(due); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := u.ReadCloser.Read(p)
	u.arrived += int64(n)
	u.last = time.Now()
	if err == io.EOF {
		// The next request on the connection has limits of its own.
		if reset := u.control.SetReadDeadline(time.Time{}); reset != nil && !errors.Is(reset, http.ErrNotSupported) {
			return n, reset
		}
	}
	return n, err
}

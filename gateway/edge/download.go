package edge

import (
	"errors"
	"net/http"
	"time"
)

// boundDownloads resets HTTP/2 streams whose client, a slow reader, opens no
// flow-control window: they do not block the connection, whose timeout does not end them. HTTP/1 and
// what has been upgraded are bounded by the connection.
func boundDownloads(next http.Handler, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		d := &download{ResponseWriter: w, control: control, stall: newStallTimer(control.SetWriteDeadline), timeout: timeout}
		defer func() {
			// What is still buffered is written when this has returned.
			err := errors.Join(d.stall.close(), control.SetWriteDeadline(time.Now().Add(timeout)))
			if err != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		next.ServeHTTP(d, r)
	})
}

// download is an answer that the client must take.
type download struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   *stallTimer
	timeout time.Duration
}

// Write implements io.Writer.
func (d *download) Write(p []byte) (int, error) {
	d.stall.start(d.timeout)
	defer d.stall.stop()
	return d.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (d *download) FlushError() error {
	d.stall.start(d.timeout)
	defer d.stall.stop()
	return d.control.Flush()
}

// Flush implements http.Flusher.
func (d *download) Flush() {
	if err := d.FlushError(); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// Unwrap is for http.ResponseController.
func (d *download) Unwrap() http.ResponseWriter { return d.ResponseWriter }

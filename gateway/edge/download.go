package edge

import (
	"errors"
	"net/http"
	"time"
)

// boundDownloads ends the streams of HTTP/2 that a client gives no window to: to
// the connection they do no harm, and so it is not for it to end them. HTTP/1 and
// what has been upgraded are bounded by the connection.
func boundDownloads(next http.Handler, patience time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 {
			next.ServeHTTP(w, r)
			return
		}
		control := http.NewResponseController(w)
		d := &download{ResponseWriter: w, control: control, stall: newStall(control.SetWriteDeadline), patience: patience}
		defer func() {
			// What is still buffered is written when this has returned.
			err := errors.Join(d.stall.close(), control.SetWriteDeadline(time.Now().Add(patience)))
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
	control  *http.ResponseController
	stall    *stall
	patience time.Duration
}

// Write implements io.Writer.
func (d *download) Write(p []byte) (int, error) {
	d.stall.start(d.patience)
	defer d.stall.stop()
	return d.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (d *download) FlushError() error {
	d.stall.start(d.patience)
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

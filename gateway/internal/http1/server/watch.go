package server

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/requestcontext"
)

// watchDelay is how long a request takes before anybody looks whether its client is still there.
const watchDelay = 20 * time.Millisecond

// watch finds out whether the client goes away while its request is served: a read waits for it, once the body has ended. What
// else comes is the next request's. Safe for concurrent use.
type watch struct {
	input *input // nobody else reads it while the watch is on

	mu        sync.Mutex
	changed   *sync.Cond              // reading has
	timer     *time.Timer             // guarded by mu
	request   *requestcontext.Context // guarded by mu; nil while there is none
	bodyEnded bool                    // guarded by mu
	reading   bool                    // guarded by mu: a goroutine waits for a byte
	hasByte   bool                    // guarded by mu: it has read one
}

// begin begins with a request.
func (w *watch) begin(request *requestcontext.Context, hasBody bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.request, w.bodyEnded = request, !hasBody
	if w.bodyEnded {
		w.arm()
	}
}

// bodyHasEnded has the watch begin behind a body.
func (w *watch) bodyHasEnded() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.request != nil {
		w.bodyEnded = true
		w.arm()
	}
}

// arm has the watch begin after a while. w.mu is held.
func (w *watch) arm() {
	if w.timer == nil {
		w.timer = time.AfterFunc(watchDelay, w.run)
		return
	}
	w.timer.Reset(watchDelay)
}

// run reads a byte, or learns that there will be none.
func (w *watch) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.request == nil || !w.bodyEnded || w.reading || w.hasByte || len(w.input.unread()) > 0 {
		return
	}
	w.reading = true
	_ = w.input.conn.SetReadDeadline(time.Time{}) // where it fails, so does the read
	w.mu.Unlock()
	n, err := readSome(w.input.conn, w.input.first[:])
	w.mu.Lock()
	w.reading, w.hasByte = false, n > 0
	if err != nil && n == 0 && !errors.Is(err, os.ErrDeadlineExceeded) && w.request != nil {
		w.request.Cancel()
	}
	w.changed.Broadcast()
}

// end ends with the request.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.request = nil
	if w.timer != nil {
		w.timer.Stop()
	}
	if w.reading {
		_ = w.input.conn.SetReadDeadline(expired) // where it fails, the read has ended
		for w.reading {
			w.changed.Wait()
		}
	}
	if w.hasByte {
		w.hasByte = false
		w.input.push()
	}
}

// abandon ends the request that is under way.
func (w *watch) abandon() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.request != nil {
		w.request.Cancel()
	}
}

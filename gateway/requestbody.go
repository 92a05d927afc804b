package gateway

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/spool"
)

// requestBody is the body on its way to the backend. It keeps the read error, so
// that a client's fault is not reported as the upstream's, and at EOF it copies the
// trailers that may pass.
type requestBody struct {
	io.Reader
	source   interrupter              // what the edge reads from the client; nil where it does not
	control  *http.ResponseController // in its place
	onEOF    func()
	limit    int64        // bytes that the route takes; 0 for no limit
	read     int64        // owned by whoever reads
	begun    []byte       // what was read beforehand, and is to be read again; likewise
	reserved *reservation // the memory of begun; nil where it is not counted
	onDisk   int64        // bytes that are in file, and come next; likewise
	behind   []byte       // what comes after them; likewise

	file *spool.File // nil where there is none; whoever has sent the request closes it

	mu          sync.Mutex // one goroutine reads, and another asks how it went
	err         error      // guarded by mu; io.EOF at the end
	interrupted bool       // guarded by mu: the upstream closed its connection before the end
	once        sync.Once
}

// An interrupter is a body whose reading can be ended from another goroutine, also
// while it waits for the client. Package edge has it.
type interrupter interface{ Interrupt() error }

// expiredDeadline is a deadline that has passed.
var expiredDeadline = time.Unix(1, 0)

// errUpstreamClosed is the error of reads that interrupt has ended.
var errUpstreamClosed = errors.New("the upstream closed its connection before the request's body had ended")

func (b *requestBody) Read(p []byte) (int, error) {
	if len(b.begun) > 0 {
		n := copy(p, b.begun)
		if b.begun = b.begun[n:]; len(b.begun) == 0 {
			b.begun = nil
			b.release()
		}
		return n, nil
	}
	if b.onDisk > 0 {
		n, err := b.file.Read(p[:min(int64(len(p)), b.onDisk)])
		b.onDisk -= int64(n)
		return n, err
	}
	if len(b.behind) > 0 {
		n := copy(p, b.behind)
		b.behind = b.behind[n:]
		return n, nil
	}
	n, err := b.Reader.Read(p)
	if b.read += int64(n); b.limit > 0 && b.read > b.limit {
		// The backend sees the body end within it, and no more than it takes.
		n, err = n-int(b.read-b.limit), &http.MaxBytesError{Limit: b.limit}
		b.read = b.limit
	}
	if err != nil {
		b.mu.Lock()
		if b.interrupted && err != io.EOF {
			err = errUpstreamClosed
		}
		b.err = err
		b.mu.Unlock()
		if err == io.EOF {
			b.once.Do(b.onEOF)
		}
	}
	return n, err
}

// release gives the memory back that the body was taken into. Any goroutine may call it, again too.
func (b *requestBody) release() {
	if b != nil && b.reserved != nil {
		b.reserved.release()
	}
}

// spilled is how much of it is on disk, and behind that.
func (b *requestBody) spilled() int64 { return b.onDisk + int64(len(b.behind)) }

// close gives up what holds it, when nobody reads it any more.
func (b *requestBody) close() {
	if b == nil {
		return
	}
	b.release()
	if b.file != nil {
		_ = b.file.Close() // of what it held nothing is needed any more
	}
}

// interrupt ends the reading of a body that nobody takes any more.
func (b *requestBody) interrupt() {
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return
	}
	b.interrupted = true
	b.mu.Unlock()
	// Either fails where the client's connection is closed, which ends the read as well.
	if b.source != nil {
		_ = b.source.Interrupt()
	} else {
		_ = b.control.SetReadDeadline(expiredDeadline)
	}
}

// readErr is the error of reading the body for which the client is to blame, or nil.
func (b *requestBody) readErr() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == io.EOF || b.interrupted {
		return nil
	}
	return b.err
}

// wasInterrupted reports whether interrupt has ended the reading.
func (b *requestBody) wasInterrupted() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.interrupted
}

// ended reports whether the body was read to its end.
func (b *requestBody) ended() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err == io.EOF
}

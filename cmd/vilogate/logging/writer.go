package logging

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxPending   = 1 << 20                // bytes of lines that wait to be written
	blockTimeout = 100 * time.Millisecond // the first line waits for room, and one of WARN and above until it is written

	// Behind a write, lines come together for so long, or until there are so many bytes of them, unless somebody waits.
	batchDelay = 10 * time.Millisecond
	batchBytes = 64 << 10
)

// writer writes lines in the order in which they come, many in one call. It is safe for concurrent use.
type writer struct {
	to      io.Writer
	dropped atomic.Uint64 // lines
	ended   chan struct{} // closed when its goroutine has ended
	flush   chan struct{} // has room for one: what is pending is to be written at once

	mu         sync.Mutex
	wake       *sync.Cond    // pending or closed has changed
	pending    []byte        // guarded by mu
	unreported uint64        // lines that were dropped since the log last said so; guarded by mu
	written    chan struct{} // guarded by mu: closed when what is now pending has been written
	closed     bool          // guarded by mu
	blocked    bool          // guarded by mu: a wait timed out, and nothing has been written since
}

// newWriter starts the goroutine that writes; close ends it.
func newWriter(to io.Writer) *writer {
	w := &writer{to: to, ended: make(chan struct{}), flush: make(chan struct{}, 1), written: make(chan struct{})}
	w.wake = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// write hands a line over, and with wait returns once it was written, or after blockTimeout.
func (w *writer) write(line []byte, wait bool) {
	w.mu.Lock()
	if len(w.pending)+len(line) > maxPending && !w.closed {
		w.wait()
	}
	if len(w.pending)+len(line) > maxPending || w.closed {
		w.unreported++
		w.mu.Unlock()
		w.dropped.Add(1)
		return
	}
	w.pending = append(w.pending, line...)
	w.wake.Signal()
	switch {
	case wait:
		w.wait()
	case len(w.pending) >= batchBytes:
		w.writeNow()
	}
	w.mu.Unlock()
}

// writeNow ends awaitBatch, or else the next.
func (w *writer) writeNow() {
	select {
	case w.flush <- struct{}{}:
	default:
	}
}

// wait waits until what is pending was written, for blockTimeout at most, and not at all where that was in vain before. w.mu is held,
// but not meanwhile.
func (w *writer) wait() {
	w.writeNow()
	if w.blocked {
		return
	}
	written := w.written
	w.mu.Unlock()
	inTime := await(written)
	w.mu.Lock()
	w.blocked = !inTime
}

func await(written <-chan struct{}) (inTime bool) {
	timeout := time.NewTimer(blockTimeout)
	defer timeout.Stop()
	select {
	case <-written:
		return true
	case <-timeout.C:
		return false
	}
}

// run writes until the writer is closed and nothing is pending.
func (w *writer) run() {
	defer close(w.ended)
	var batch []byte
	cut := false // what was written last ends within a line
	for {
		w.mu.Lock()
		for len(w.pending) == 0 && !w.closed {
			w.wake.Wait()
		}
		if len(w.pending) == 0 {
			w.mu.Unlock()
			return
		}
		batch, w.pending = w.pending, batch[:0]
		if cut {
			batch = append([]byte{'\n'}, batch...) // else the first line would be lost with the one before
		}
		unreported := w.unreported
		if w.unreported = 0; unreported > 0 {
			batch = appendDropped(batch, time.Now(), unreported)
		}
		written := w.written
		w.written = make(chan struct{})
		w.mu.Unlock()
		// There is nowhere to say that the log cannot be written, but in itself, later.
		n, err := w.to.Write(batch)
		if err != nil {
			w.countDropped(bytes.Count(bytes.TrimPrefix(batch[n:], []byte{'\n'}), []byte{'\n'}), unreported)
		}
		if n > 0 {
			cut = batch[n-1] != '\n'
		}
		w.mu.Lock()
		w.blocked = false
		closed := w.closed
		w.mu.Unlock()
		close(written)
		if !closed {
			w.awaitBatch()
		}
	}
}

// awaitBatch lets lines come together in one batch.
func (w *writer) awaitBatch() {
	timeout := time.NewTimer(batchDelay)
	defer timeout.Stop()
	select {
	case <-timeout.C:
	case <-w.flush:
	}
}

// countDropped counts lines that were not written, or not to their end. The last of them would have reported so many others,
// unless that is 0.
func (w *writer) countDropped(lines int, unreported uint64) {
	if lines == 0 {
		return
	}
	if unreported > 0 {
		lines--
	}
	w.dropped.Add(uint64(lines))
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unreported += uint64(lines) + unreported
}

// close has what is pending written, and ends the goroutine. Lines that come later are dropped. Where writing hangs, it returns
// after blockTimeout.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.wake.Signal()
	w.writeNow()
	w.mu.Unlock()
	await(w.ended)
}

// Package readahead takes an answer from a backend as fast as it comes, while a slower client takes it from here.
//
// It belongs to gateway, and is on its floor. While the client keeps up, the goroutine that writes to it reads the backend as well.
// When that has waited for the client for too long, another one reads the backend from there on; between the two are two buffers,
// which they swap, and where these are full and there is one, a file.
package readahead

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Source is an answer's body.
type Source interface {
	// Next is the next piece, which is good until the next call; io.EOF at the end.
	Next(pause func()) ([]byte, error)
	// Poll is Next without waiting; ready is false where Next would wait.
	Poll() (piece []byte, ready bool, err error)
	// Keep leaves the piece that was returned last valid for good. It is called at most once, and not beside Next or Poll.
	Keep()
	// Abort ends a Next that waits.
	Abort()
}

// Options say how much is read ahead, and what is to be told.
type Options struct {
	// SlowAfter is how long the reader may take in all to write pieces and to flush, before it is a slow reader, of which the source is
	// read ahead. Until then it reads the source itself. 0: the source is read ahead from the beginning.
	SlowAfter time.Duration
	// Max is how many bytes are read ahead.
	Max int
	// Grow is asked whether so many bytes more may be held. Where they may not, one piece of the source is held at a time.
	Grow func(n int) bool
	// Shrink is told in the end how many Grow has allowed.
	Shrink func(n int)
	// Spill makes a file for what does not fit there, of which it has as much as MostSpilled at most; nil where there is no room. It is
	// called once. Optional: there is none.
	Spill      func() Spill
	MaxSpilled int64
	// Ended is called once the answer has ended, complete or cut off, by the goroutine that reads the source.
	Ended func()
}

// Spill is a file. Write is called by the goroutine that reads the source, and Read, of no more than what was written, by that which
// writes to the client; Rewind when all was read, by the first.
type Spill interface {
	io.ReadWriteCloser
	Rewind()
}

// largestPiece is how much Next returns at most.
const largestPiece = 64 << 10

// Reader is an answer's body that is read ahead. Next and Close are for one goroutine.
type Reader struct {
	o      Options
	source Source

	mu        sync.Mutex
	done      chan struct{} // guarded by mu: closed when the goroutine has ended that reads the source; nil while there is none
	timer     *time.Timer   // guarded by mu: begins that; nil before the first piece was given out without it
	remaining time.Duration // guarded by mu: of SlowAfter
	since     time.Time     // guarded by mu: when the reader was given a piece, or began to flush; zero while it does neither
	changed   sync.Cond     // something below has
	filling   []byte        // guarded by mu: what was read
	taking    []byte        // guarded by mu: what was read before that, and is being written; its bytes are whose Next returned them
	taken     int           // guarded by mu: bytes of taking that are written
	given     int           // guarded by mu: bytes behind them that Next returned
	granted   int           // guarded by mu: by Grow
	spilled   int64         // guarded by mu: bytes in the file, which are behind all others
	err       error         // guarded by mu: that the source ended with, io.EOF where it was whole
	closed    bool          // guarded by mu

	spill    Spill  // nil until there is one; what of it is read is in spilled. The source's reader's
	end      int64  // how far it was written; likewise
	noSpill  bool   // no more is written to it; likewise
	fromFile []byte // what Next has read of it last
}

// Start begins to read.
func Start(source Source, o Options) *Reader {
	r := &Reader{o: o, source: source, remaining: o.SlowAfter}
	r.changed.L = &r.mu
	if r.remaining <= 0 {
		r.startReading()
	}
	return r
}

// startReading has another goroutine read the source. r.mu is held, unless r is new.
func (r *Reader) startReading() {
	r.done = make(chan struct{})
	go r.run(r.done)
}

// fallBehind begins to read ahead of a reader that has taken too long over a piece or a pause.
func (r *Reader) fallBehind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.done != nil || r.since.IsZero() || time.Since(r.since) < r.remaining { // it is another one by now
		return
	}
	r.source.Keep()
	r.startReading()
}

// keepsUp reports whether whoever asks reads the source itself. It has done with the piece or the pause that it was given.
func (r *Reader) keepsUp() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done != nil || r.err != nil {
		return false
	}
	if !r.since.IsZero() {
		r.timer.Stop()
		r.remaining -= time.Since(r.since)
		r.since = time.Time{}
	}
	if r.remaining <= 0 {
		r.startReading()
	}
	return r.done == nil
}

// readThrough reads the source, for whoever asks; passed is false where that fell behind in its pause.
func (r *Reader) readThrough(pause func()) (piece []byte, passed bool, err error) {
	piece, ready, err := r.source.Poll()
	if !ready {
		r.mu.Lock()
		r.startTimer()
		r.mu.Unlock()
		pause()
		if !r.keepsUp() {
			return nil, false, nil
		}
		piece, err = r.source.Next(nil)
	}
	if err != nil {
		r.o.Ended()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.err = err
		return nil, true, err
	}
	r.startTimer()
	return piece, true, nil
}

// startTimer begins to count how long the reader takes. r.mu is held.
func (r *Reader) startTimer() {
	r.since = time.Now()
	if r.timer == nil {
		r.timer = time.AfterFunc(r.remaining, r.fallBehind)
	} else {
		r.timer.Reset(r.remaining)
	}
}

func (r *Reader) run(done chan struct{}) {
	defer close(done)
	defer func() {
		if cause := recover(); cause != nil { // it ends this answer, and not the process
			r.put(nil, fmt.Errorf("readahead: panic: %v", cause))
		}
	}()
	for {
		piece, err := r.source.Next(nil)
		if err != nil {
			r.o.Ended()
		}
		if !r.put(piece, err) {
			return
		}
	}
}

// put waits for room for a piece, and reports whether there is to be another one.
func (r *Reader) put(piece []byte, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed && len(piece) > 0 && (r.spilled > 0 || !r.fits(len(piece))) {
		switch {
		case !r.maySpill(len(piece)):
			r.changed.Wait()
		case r.spills(piece):
			piece = nil
		}
	}
	if r.closed {
		return false
	}
	r.filling, r.err = append(r.filling, piece...), err
	r.changed.Broadcast()
	return err == nil
}

// maySpill reports whether n bytes more may be written to the file; else there is room again when all that is there was taken. r.mu is
// held.
func (r *Reader) maySpill(n int) bool {
	if r.spilled == 0 {
		r.end = 0
	}
	return r.o.Spill != nil && !r.noSpill && r.end+int64(n) <= r.o.MaxSpilled
}

// spills reports whether a piece was written to the file, behind what is there. r.mu is held, but while it is written: what is taken
// meanwhile may have made room in memory.
func (r *Reader) spills(piece []byte) bool {
	r.mu.Unlock()
	err := r.write(piece)
	r.mu.Lock()
	if err != nil {
		r.noSpill = true // memory has to do
		return false
	}
	r.end += int64(len(piece))
	r.spilled += int64(len(piece))
	return true
}

// write writes a piece to the file.
func (r *Reader) write(piece []byte) error {
	switch {
	case r.spill == nil:
		if r.spill = r.o.Spill(); r.spill == nil {
			return io.ErrShortWrite
		}
	case r.end == 0:
		r.spill.Rewind()
	}
	_, err := r.spill.Write(piece)
	return err
}

// fits reports whether n bytes more may be held, and makes room for them. One piece always may where there is nothing else.
func (r *Reader) fits(n int) bool {
	held := len(r.filling) + len(r.taking) - r.taken
	if held > 0 && held+n > r.o.Max {
		return false
	}
	if len(r.filling)+n <= cap(r.filling) {
		return true
	}
	size := max(min(2*cap(r.filling), r.o.Max), len(r.filling)+n)
	switch grown := size - cap(r.filling); {
	case r.o.Grow(grown):
		r.granted += grown
	case held > 0:
		return false
	}
	larger := make([]byte, len(r.filling), size)
	copy(larger, r.filling)
	r.filling = larger
	return true
}

// Next is the next piece, which is good until the next call; io.EOF at the end, and what the source failed with behind all that
// came of it. Where it has to wait for the source, it calls pause before.
func (r *Reader) Next(pause func()) ([]byte, error) {
	if r.keepsUp() {
		if piece, passed, err := r.readThrough(pause); passed {
			return piece, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken, r.given = r.taken+r.given, 0
	for paused := false; ; paused = true {
		if r.taken == len(r.taking) {
			r.filling, r.taking, r.taken = r.taking[:0], r.filling, 0
		}
		r.changed.Broadcast()
		switch {
		case len(r.taking) > 0:
			r.given = min(len(r.taking)-r.taken, largestPiece)
			return r.taking[r.taken : r.taken+r.given], nil
		case r.spilled > 0:
			return r.takeSpilled()
		case r.err != nil:
			return nil, r.err
		case paused:
			r.changed.Wait()
		default:
			r.mu.Unlock()
			pause()
			r.mu.Lock()
		}
	}
}

// Close ends the reading, and returns when nobody reads the source any more.
func (r *Reader) Close() {
	r.mu.Lock()
	r.closed = true
	done, reading := r.done, r.err == nil
	if r.timer != nil {
		r.timer.Stop()
	}
	r.changed.Broadcast()
	r.mu.Unlock()
	if done != nil {
		if reading {
			r.source.Abort()
		}
		<-done
	}
	r.o.Shrink(r.granted)
	if r.spill != nil {
		_ = r.spill.Close() // of what it held nothing is needed any more
	}
}

// takeSpilled reads the next piece from the file. r.mu is held, but while it is read.
func (r *Reader) takeSpilled() ([]byte, error) {
	if r.fromFile == nil {
		r.fromFile = make([]byte, largestPiece)
	}
	piece := r.fromFile[:min(int64(largestPiece), r.spilled)]
	r.mu.Unlock()
	_, err := io.ReadFull(r.spill, piece)
	r.mu.Lock()
	if err != nil {
		return nil, fmt.Errorf("readahead: %w", err)
	}
	r.spilled -= int64(len(piece))
	r.changed.Broadcast()
	return piece, nil
}

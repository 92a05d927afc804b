package server

import (
	"net"
	"sync"
)

// outputBuffer is how much is written at a time, in bytes.
const outputBuffer = 32 << 10

var outputBuffers = sync.Pool{New: func() any { return new([outputBuffer]byte) }}

// output is what has been said and not yet written. Safe for concurrent use: whoever reads a body says 100 (Continue) before the
// answer that another goroutine writes.
type output struct {
	conn net.Conn

	mu     sync.Mutex
	buffer []byte              // guarded by mu; nil while nothing is to be written
	pooled *[outputBuffer]byte // that buffer is; guarded by mu
	begun  bool                // guarded by mu: the answer's head is in the buffer, or written
	err    error               // guarded by mu: of every further write
}

// begin is called with a request.
func (o *output) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun = false
}

const continueLine = "HTTP/1.1 100 Continue\r\n\r\n"

// sendContinue says that a body is wanted, unless the answer has begun.
func (o *output) sendContinue() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.begun || o.err != nil {
		return o.err
	}
	o.buffer = append(o.acquire(), continueLine...)
	return o.flush()
}

// acquire is the buffer. o.mu is held.
func (o *output) acquire() []byte {
	if o.buffer == nil {
		o.pooled = outputBuffers.Get().(*[outputBuffer]byte)
		o.buffer = o.pooled[:0]
	}
	return o.buffer
}

// write writes p behind what there is. o.mu is held.
func (o *output) write(p []byte) error {
	if o.err != nil {
		return o.err
	}
	b := o.acquire()
	if len(b)+len(p) > outputBuffer {
		if err := o.flush(); err != nil {
			return err
		}
		if b = o.buffer; len(p) >= outputBuffer/2 {
			_, o.err = o.conn.Write(p)
			return o.err
		}
	}
	o.buffer = append(b, p...)
	return nil
}

// flush has what there is leave. o.mu is held.
func (o *output) flush() error {
	if o.err == nil && len(o.buffer) > 0 {
		_, o.err = o.conn.Write(o.buffer)
		o.buffer = o.buffer[:0]
	}
	return o.err
}

// release gives the buffer back. What has not left never will.
func (o *output) release() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pooled != nil {
		outputBuffers.Put(o.pooled)
	}
	o.buffer, o.pooled = nil, nil
}

package websocket

import (
	"crypto/rand"
	"io"
	"sync"
	"time"
)

// opcodePing is the opcode of pings (RFC 6455, section 5.5.2).
const opcodePing = 0x9

// pinger has both ends of a tunnel be sent pings. Its zero value does not.
type pinger struct {
	every time.Duration

	mu    sync.Mutex
	timer *time.Timer // guarded by mu
	ended bool        // guarded by mu
}

// PingEvery has an end be sent a ping when it was sent nothing for so long, and no sooner than its frame has ended; at twice that at the
// latest. What answers it is passed on to the other end as any frame is: a pong that nobody has asked for (RFC 6455, section 5.5.3). It is
// called once, when Client and Backend were.
func (t *Tunnel) PingEvery(d time.Duration) {
	p := &t.pings
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every, p.timer = d, time.AfterFunc(d, t.ping)
}

// ping sends the pings that are due.
func (t *Tunnel) ping() {
	p := &t.pings
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || t.ending.Load() != nil {
		return
	}
	masked := []byte{0x80 | opcodePing, 0x80, 0, 0, 0, 0}
	_, _ = rand.Read(masked[2:]) // never fails
	t.down.ping(t.client, []byte{0x80 | opcodePing, 0})
	t.up.ping(t.backend, masked)
	p.timer.Reset(p.every)
}

// stopPings ends it; when it has returned nothing more is sent.
func (t *Tunnel) stopPings() {
	p := &t.pings
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended = true; p.timer != nil {
		p.timer.Stop()
	}
}

// ping sends a ping where nothing has passed since the last time, none passes, and none has closed the WebSocket.
func (d *direction) ping(to io.Writer, frame []byte) {
	if !d.mu.TryLock() {
		return // something is passing
	}
	defer d.mu.Unlock()
	if !d.passed && !d.closed && d.frames.boundary() && d.frames.opcode != opcodeClose {
		_, _ = to.Write(frame) // if it fails, copying does too
	}
	d.passed = false
}

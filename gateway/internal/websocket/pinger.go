package websocket

import (
	"sync"
	"time"
)

// pinger has both ends of a tunnel be sent pings. Its zero value does not.
type pinger struct {
	every time.Duration

	mu    sync.Mutex
	timer *time.Timer // guarded by mu
	ended bool        // guarded by mu
}

// stop ends it; when it has returned nothing more is sent.
func (p *pinger) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended = true; p.timer != nil {
		p.timer.Stop()
	}
}

package http3

import (
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// lingerTime is how long a connection stays behind its last request when the server shuts down: closing it drops what the client has
// not acknowledged.
const lingerTime = time.Second

// connection ends a connection that has no request: streams on which a header is due are none.
type connection struct {
	conn *quic.Conn
	idle time.Duration

	mu     sync.Mutex
	timer  *time.Timer // guarded by mu: it runs while there is no request
	active int         // guarded by mu: requests
}

type connectionKey struct{}

// begin begins a request, and end ends it.
func (c *connection) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active++
	c.timer.Stop()
}

func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.active--; c.active == 0 {
		c.timer.Reset(c.idle)
	}
}

// drain has the connection end soon behind its last request.
func (c *connection) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle = lingerTime; c.active == 0 {
		c.timer.Reset(c.idle)
	}
}

// closeQuietly closes a connection, if it has not ended before.
func closeQuietly(conn *quic.Conn) {
	_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") // it has ended, either way
}

package http2

import (
	"context"
	"crypto/tls"
	"errors"
	"time"
)

// serve serves a connection until it has ended, and its handlers have returned.
func (c *conn) serve() {
	stop := context.AfterFunc(c.base, c.cancelRequests)
	defer stop()
	err := c.handleError(c.checkTLS())
	if err == nil {
		err = c.readPreface()
	}
	for err == nil {
		err = c.handleError(c.readFrame())
	}
	c.log.Debug("http2: a connection ends", "client", c.template.RemoteAddr, "error", err)
	if c.ending.Load() {
		c.linger()
	}
	c.finish()
}

// begin sends what a server begins with, and starts the clock.
func (c *conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, now := c.limits, time.Now()
	c.timer = time.AfterFunc(l.HeaderTime, c.watch)
	c.timerAt, c.headerBy, c.idleSince = now.Add(l.HeaderTime), now.Add(l.HeaderTime), now
	out := c.output()
	*out = appendSettings(*out,
		setting{settingMaxConcurrentStreams, uint32(l.Streams)},
		setting{settingInitialWindowSize, uint32(l.StreamWindow)},
		setting{settingMaxHeaderListSize, uint32(l.HeaderBytes)},
		setting{settingEnableConnectProtocol, 1},
		setting{settingNoRFC7540Priorities, 1},
	)
	if more := l.ConnectionWindow - initialWindow; more > 0 {
		*out = appendWindowUpdate(*out, 0, more)
	}
	c.kick()
}

// checkTLS checks the cipher suite.
func (c *conn) checkTLS() error {
	if state := c.template.TLS; state != nil && !isPermitted(state) {
		return &connectionError{inadequateSecurity, "a cipher suite that HTTP/2 does not permit"}
	}
	return nil
}

// isPermitted reports whether HTTP/2 may be spoken with this cipher suite (RFC 9113, section 9.2.2): of those of TLS 1.2, the
// ephemeral ones with authenticated encryption.
func isPermitted(state *tls.ConnectionState) bool {
	if state.Version != tls.VersionTLS12 {
		return state.Version > tls.VersionTLS12
	}
	switch state.CipherSuite {
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return true
	}
	return false
}

// cancelRequests ends the contexts of all requests under way.
func (c *conn) cancelRequests() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, st := range c.streams {
		st.Cancel()
	}
}

// readPreface reads what a client begins with: the preface, and SETTINGS (RFC 9113, section 3.4).
func (c *conn) readPreface() error {
	p, err := c.input.next(len(preface))
	if err == nil && string(p) != preface {
		err = &connectionError{protocolError, "another preface"}
	}
	if err == nil {
		c.awaitsSettings = true
		err = c.readFrame()
	}
	return c.handleError(err)
}

// readFrame reads a frame, and does what it says.
func (c *conn) readFrame() error {
	c.input.release()
	if c.ending.Load() {
		return errConnection
	}
	header, err := c.input.next(frameHeaderLength)
	if err != nil {
		return err
	}
	f := parseFrameHeader(header)
	if err := c.checkOrder(&f); err != nil {
		return err
	}
	if f.payload, err = c.payload(&f); err != nil {
		return err
	}
	switch f.kind {
	case dataFrame:
		return c.receiveData(&f)
	case headersFrame:
		return c.receiveHeaders(&f)
	case continuationFrame:
		return c.receiveContinuation(&f)
	}
	return c.receiveControl(&f)
}

// checkOrder checks what can be said of a frame by its header.
func (c *conn) checkOrder(f *frame) error {
	switch {
	case f.length > maxFrameLength:
		return &connectionError{frameSizeError, "a frame longer than MAX_FRAME_SIZE"}
	case c.pendingID != 0 && f.kind != continuationFrame:
		return &connectionError{protocolError, "another frame than CONTINUATION in a header block"}
	case c.awaitsSettings && (f.kind != settingsFrame || f.has(flagAck)):
		return &connectionError{protocolError, "a client that does not begin with SETTINGS"}
	}
	return nil
}

// payload reads the rest of a frame.
func (c *conn) payload(f *frame) ([]byte, error) {
	if c.input.buffered() < f.length && (f.kind == headersFrame || f.kind == continuationFrame) {
		c.awaitHeader()
	}
	p, err := c.input.next(f.length)
	if c.awaitsSettings && err == nil {
		c.awaitsSettings = false
		c.mu.Lock()
		c.headerBy = time.Time{}
		c.mu.Unlock()
	}
	return p, err
}

// handleError says to the client what it did wrong. What it returns ends the reading.
func (c *conn) handleError(err error) error {
	if err == nil {
		return nil
	}
	var ofStream *streamError
	if errors.As(err, &ofStream) {
		if c.resets.take() {
			c.log.Debug(err.Error(), "client", c.template.RemoteAddr)
			c.refuse(ofStream)
			return nil
		}
		err = errTooManyResets
	}
	var ofConnection *connectionError
	if errors.As(err, &ofConnection) {
		c.mu.Lock()
		c.end(ofConnection.code, ofConnection.reason)
		c.mu.Unlock()
	}
	return err
}

// refuse resets a stream for an error of the client's.
func (c *conn) refuse(e *streamError) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st := c.streams[e.stream]; st != nil {
		st.reset(e.code, errMalformed)
	} else {
		out := c.output()
		*out = appendReset(*out, e.stream, e.code)
		c.closed.add(e.stream, true)
	}
	c.kick()
}

// linger passes over what the client still sends, as much as may be on its way, for as long as the deadline that end has set: a
// connection that is closed with something unread takes back what was sent.
func (c *conn) linger() {
	var nowhere [512]byte
	for left := c.limits.ConnectionWindow; left > 0; {
		n, err := c.net.Read(nowhere[:])
		if err != nil {
			return
		}
		left -= int64(n)
	}
}

// finish ends the connection, and waits for its handlers. What was answered before an end that is nobody's fault is written first,
// in the time that each record has.
func (c *conn) finish() {
	c.mu.Lock()
	for c.ending.Load() && c.endBy.IsZero() && c.err == nil && c.writing {
		c.idle.Wait()
	}
	c.fail(errConnection)
	c.mu.Unlock()
	_ = c.net.Close() // it may be closed already
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.handlers > 0 {
		c.idle.Wait()
	}
	c.input.free()
}

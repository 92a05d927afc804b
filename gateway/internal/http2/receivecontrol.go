package http2

import (
	"bytes"
	"encoding/binary"
)

var (
	errTooManyFrames = &connectionError{enhanceYourCalm, "too many frames that ask for nothing"}
	errTooManyResets = &connectionError{enhanceYourCalm, "too many streams that were reset"}
)

// receiveControl takes any frame but those of requests.
func (c *conn) receiveControl(f *frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.kick()
	if f.kind != resetFrame && !c.control.take() {
		return errTooManyFrames
	}
	switch f.kind {
	case priorityFrame:
		return c.receivePriority(f)
	case resetFrame:
		return c.receiveReset(f)
	case settingsFrame:
		return c.receiveSettings(f)
	case pushPromiseFrame:
		return &connectionError{protocolError, "PUSH_PROMISE of a client"}
	case pingFrame:
		return c.receivePing(f)
	case goAwayFrame:
		return c.receiveGoAway(f)
	case windowUpdateFrame:
		return c.receiveWindowUpdate(f)
	}
	return nil // of an unknown type (RFC 9113, section 5.5)
}

// receivePriority checks PRIORITY, and passes it over (RFC 9113, section 5.3.2).
func (c *conn) receivePriority(f *frame) error {
	switch {
	case f.stream == 0:
		return &connectionError{protocolError, "PRIORITY on stream 0"}
	case len(f.payload) != 5:
		if c.streams[f.stream] == nil {
			return &connectionError{frameSizeError, "PRIORITY of another length than 5"}
		}
		return &streamError{f.stream, frameSizeError, "PRIORITY of another length than 5"}
	case binary.BigEndian.Uint32(f.payload)&maxStreamID == f.stream:
		if c.streams[f.stream] == nil {
			return &connectionError{protocolError, "a stream that depends on itself"}
		}
		return &streamError{f.stream, protocolError, "a stream that depends on itself"}
	}
	return nil
}

func (c *conn) receiveReset(f *frame) error {
	switch {
	case len(f.payload) != 4:
		return &connectionError{frameSizeError, "RST_STREAM of another length than 4"}
	case f.stream == 0 || f.stream > c.last && c.draining != lastStream:
		return &connectionError{protocolError, "RST_STREAM on an idle stream"}
	}
	st := c.streams[f.stream]
	if st == nil {
		if !c.control.take() {
			return errTooManyFrames
		}
		return nil
	}
	if !c.resets.take() {
		return errTooManyResets
	}
	c.closed.add(st.id, false)
	st.abandon(errReset)
	return nil
}

func (c *conn) receiveSettings(f *frame) error {
	switch {
	case f.stream != 0:
		return &connectionError{protocolError, "SETTINGS on a stream"}
	case f.has(flagAck) && len(f.payload) > 0:
		return &connectionError{frameSizeError, "SETTINGS that acknowledge, and more"}
	case f.has(flagAck):
		return nil
	case len(f.payload)%6 != 0:
		return &connectionError{frameSizeError, "SETTINGS of a length that is no multiple of 6"}
	case len(f.payload) > 6*maxSettings:
		return &connectionError{enhanceYourCalm, "too many settings"}
	}
	for p := f.payload; len(p) > 0; p = p[6:] {
		if err := c.set(setting{binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])}); err != nil {
			return err
		}
	}
	return c.appendControl(appendFrameHeader(nil, settingsFrame, flagAck, 0, 0))
}

// set takes a setting of the client.
func (c *conn) set(s setting) error {
	switch s.id {
	case settingHeaderTableSize:
		c.encoder.SetMaxDynamicTableSize(s.value) // of which no more than 4 KiB are used
	case settingEnablePush:
		if s.value > 1 {
			return &connectionError{protocolError, "ENABLE_PUSH other than 0 and 1"}
		}
	case settingMaxFrameSize:
		if s.value < maxFrameLength || s.value >= 1<<24 {
			return &connectionError{protocolError, "MAX_FRAME_SIZE that cannot be"}
		}
	case settingInitialWindowSize:
		return c.setInitialWindow(int64(s.value))
	}
	return nil
}

// setInitialWindow changes the windows of all streams (RFC 9113, section 6.9.2), which may make them negative.
func (c *conn) setInitialWindow(n int64) error {
	if n > maxWindow {
		return &connectionError{flowControlError, "INITIAL_WINDOW_SIZE beyond the largest window"}
	}
	change := n - c.initialWindow
	c.initialWindow = n
	for _, st := range c.streams {
		if st.sendWindow += change; st.sendWindow > maxWindow {
			return &connectionError{flowControlError, "INITIAL_WINDOW_SIZE makes a window too large"}
		}
	}
	c.wake()
	return nil
}

func (c *conn) receivePing(f *frame) error {
	switch {
	case len(f.payload) != 8:
		return &connectionError{frameSizeError, "PING of another length than 8"}
	case f.stream != 0:
		return &connectionError{protocolError, "PING on a stream"}
	case !f.has(flagAck):
		return c.appendControl(appendPing(nil, flagAck, f.payload))
	case bytes.Equal(f.payload, drainPing[:]):
		c.drained()
	}
	return nil
}

// receiveGoAway: the client begins no more streams.
func (c *conn) receiveGoAway(f *frame) error {
	switch {
	case f.stream != 0:
		return &connectionError{protocolError, "GOAWAY on a stream"}
	case len(f.payload) < 8:
		return &connectionError{frameSizeError, "GOAWAY of less than 8 bytes"}
	}
	c.draining = lastStream
	c.endIfDrained()
	return nil
}

func (c *conn) receiveWindowUpdate(f *frame) error {
	if len(f.payload) != 4 {
		return &connectionError{frameSizeError, "WINDOW_UPDATE of another length than 4"}
	}
	n := int64(binary.BigEndian.Uint32(f.payload) & maxStreamID)
	if f.stream == 0 {
		if c.sendWindow += n; n == 0 {
			return &connectionError{protocolError, "WINDOW_UPDATE of 0"}
		}
		if c.sendWindow > maxWindow {
			return &connectionError{flowControlError, "a window beyond the largest"}
		}
		c.wake()
		return nil
	}
	if f.stream > c.last && c.draining != lastStream {
		return &connectionError{protocolError, "WINDOW_UPDATE on an idle stream"}
	}
	st := c.streams[f.stream]
	if st == nil {
		return nil
	}
	if st.sendWindow += n; n == 0 {
		return &streamError{st.id, protocolError, "WINDOW_UPDATE of 0"}
	}
	if st.sendWindow > maxWindow {
		return &streamError{st.id, flowControlError, "a window beyond the largest"}
	}
	c.wake()
	return nil
}

// appendControl appends a frame that the client has asked for. One that asks, and does not read, ends its connection.
func (c *conn) appendControl(frame []byte) error {
	out := c.output()
	*out = append(*out, frame...)
	if len(*out) > maxPending+2*maxFrameLength+c.limits.PendingControl {
		return &connectionError{enhanceYourCalm, "too many frames wait to be read"}
	}
	return nil
}

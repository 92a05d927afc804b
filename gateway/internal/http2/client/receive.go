package client

import (
	"errors"
	"fmt"

	"golang.org/x/net/http2"

	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// maxInformational is how many informational answers there may be before the final one.
const maxInformational = 256

// receive does what a frame says. An error is one of the connection. c.mu is held.
func (c *conn) receive(f http2.Frame) error {
	if _, isSettings := f.(*http2.SettingsFrame); !isSettings && !c.begun {
		return connectionError("the upstream does not begin with its settings")
	}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		return c.receiveHeaders(f)
	case *http2.DataFrame:
		return c.receiveData(f)
	case *http2.RSTStreamFrame:
		return c.receiveReset(f)
	case *http2.SettingsFrame:
		return c.receiveSettings(f)
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = c.framer.WritePing(true, f.Data)
			c.flush()
		}
	case *http2.GoAwayFrame:
		c.receiveGoAway(f)
	case *http2.WindowUpdateFrame:
		return c.receiveWindowUpdate(f)
	case *http2.PushPromiseFrame:
		return connectionError("a push, which was not asked for")
	}
	return nil
}

func connectionError(reason string) error { return errors.New("client: " + reason) }

// find is the exchange of a stream; nil where it has ended. The error is for one that never began.
func (c *conn) find(id uint32) (*Exchange, error) {
	if x := c.exchanges[id]; x != nil {
		return x, nil
	}
	if id%2 == 0 || id >= c.nextID {
		return nil, connectionError("a frame of a stream that was not begun")
	}
	return nil, nil
}

func (c *conn) receiveHeaders(f *http2.MetaHeadersFrame) error {
	c.answered = true
	x, err := c.find(f.StreamID)
	if x == nil {
		return err
	}
	if x.received {
		x.reset(malformed("an answer that goes on behind its end"), http2.ErrCodeStreamClosed)
		return nil
	}
	if x.headRead {
		err = x.receiveTrailer(f)
	} else {
		err = x.receiveHead(f)
	}
	if err != nil {
		x.reset(err, http2.ErrCodeProtocol)
	}
	return nil
}

// receiveHead takes the header of an answer, which may be an informational one.
func (x *Exchange) receiveHead(f *http2.MetaHeadersFrame) error {
	head, err := parseHead(f, x.request.Bodiless)
	switch {
	case err != nil:
		return err
	case head.Status == 101 || head.Status < 200 && f.StreamEnded():
		return malformed("an informational answer that is none of HTTP/2")
	case head.Status == 100:
		x.upload.release()
		fallthrough
	case head.Status < 200:
		if x.informed++; x.informed > maxInformational {
			return malformed("informational answers without an end")
		}
		if head.Status != 100 {
			x.answers = append(x.answers, &head)
			x.readable.Signal()
		}
		return nil
	}
	x.Head, x.declared = head, head.Length
	x.headRead = true
	x.disarm()
	x.readable.Signal()
	if f.StreamEnded() {
		return x.receiveEnd()
	}
	return nil
}

// receiveTrailer takes the fields behind the body.
func (x *Exchange) receiveTrailer(f *http2.MetaHeadersFrame) (err error) {
	switch {
	case f.Truncated || len(f.Fields) > http1.MaxFields:
		return http1.ErrTooLong
	case !f.StreamEnded() || len(f.PseudoFields()) > 0:
		return malformed("trailers that are none")
	}
	if x.trailer, err = parseFields(f); err != nil {
		return err
	}
	return x.receiveEnd()
}

// receiveEnd is when the answer has come whole.
func (x *Exchange) receiveEnd() error {
	if x.declared > 0 {
		return malformed("an answer that is shorter than its Content-Length")
	}
	x.received = true
	x.readable.Signal()
	if x.sent {
		x.leave(nil)
	}
	return nil
}

func (c *conn) receiveData(f *http2.DataFrame) error {
	length := int64(f.Length)
	if c.consumed += length; c.consumed >= connWindow/2 {
		_ = c.framer.WriteWindowUpdate(0, uint32(c.consumed))
		c.consumed = 0
		c.flush()
	}
	x, err := c.find(f.StreamID)
	if x == nil {
		return err
	}
	data := f.Data()
	x.window -= length
	x.consumed += length - int64(len(data)) // the padding, which nobody takes
	switch {
	case x.received:
		x.reset(malformed("an answer that goes on behind its end"), http2.ErrCodeStreamClosed)
		return nil
	case x.window < 0:
		x.reset(errors.New("client: more of an answer than was asked for"), http2.ErrCodeFlowControl)
		return nil
	case !x.headRead:
		x.reset(malformed("a body before its header"), http2.ErrCodeProtocol)
		return nil
	case x.declared >= 0 && int64(len(data)) > x.declared:
		x.reset(malformed("a body that is longer than the header says"), http2.ErrCodeProtocol)
		return nil
	}
	if x.declared > 0 {
		x.declared -= int64(len(data))
	}
	if len(data) > 0 {
		if cap(x.inbox) == 0 {
			x.inbox = *buffers.Get().(*[]byte)
		}
		x.inbox = append(x.inbox, data...)
		x.readable.Signal()
	}
	if f.StreamEnded() {
		if err := x.receiveEnd(); err != nil {
			x.reset(err, http2.ErrCodeProtocol)
		}
	}
	return nil
}

// receiveReset ends an exchange. What has come whole is whole (RFC 9113, section 8.1).
func (c *conn) receiveReset(f *http2.RSTStreamFrame) error {
	x, err := c.find(f.StreamID)
	if x == nil {
		return err
	}
	switch {
	case x.received:
		x.leave(errAnswered)
	case f.ErrCode == http2.ErrCodeRefusedStream && !x.headRead:
		x.leave(&UnprocessedError{Err: errRefused})
	default:
		x.leave(&ResetError{f.ErrCode})
	}
	return nil
}

func (c *conn) receiveSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	err := f.ForeachSetting(func(s http2.Setting) error {
		switch s.ID {
		case http2.SettingMaxConcurrentStreams:
			c.maxStreams = s.Val
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(min(s.Val, 4096))
			c.encoder.SetMaxDynamicTableSize(min(s.Val, 4096))
		case http2.SettingInitialWindowSize:
			if err := s.Valid(); err != nil {
				return err
			}
			for _, x := range c.exchanges {
				if x.sendWindow += int64(s.Val) - c.initialWindow; x.sendWindow > maxStreamID { // 2³¹-1, too
					return connectionError("a window that is too large")
				}
			}
			c.initialWindow = int64(s.Val)
		}
		return nil
	})
	if err != nil {
		return err
	}
	_ = c.framer.WriteSettingsAck()
	c.flush()
	c.wake()
	if !c.begun && c.err == nil {
		c.begun = true
		close(c.ready)
	}
	return nil
}

// receiveGoAway has no more requests be sent, and ends those that the upstream will do nothing with.
func (c *conn) receiveGoAway(f *http2.GoAwayFrame) {
	c.draining = true
	for id, x := range c.exchanges {
		if id > f.LastStreamID {
			err := error(&UnprocessedError{Err: errGoAway})
			if x.headRead {
				err = errGoAway
			}
			x.leave(err)
		}
	}
	c.endIdle()
}

func (c *conn) receiveWindowUpdate(f *http2.WindowUpdateFrame) error {
	if f.StreamID == 0 {
		if c.sendWindow += int64(f.Increment); c.sendWindow > maxStreamID {
			return connectionError("a window that is too large")
		}
		c.wake()
		return nil
	}
	x, err := c.find(f.StreamID)
	if x == nil {
		return err
	}
	if x.sendWindow += int64(f.Increment); x.sendWindow > maxStreamID {
		x.reset(fmt.Errorf("client: a window that is too large"), http2.ErrCodeFlowControl)
		return nil
	}
	if x.waits {
		x.sendable.Signal()
	}
	return nil
}

package edge

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is a client of HTTP/2 that does what it likes.
type frames struct {
	*http2.Framer
	t       testing.TB
	conn    *tls.Conn
	streams uint32 // that the server allows
	encoded bytes.Buffer
	encoder *hpack.Encoder
}

// frames opens a connection, with settings of the client.
func (s *site) frames(settings ...http2.Setting) *frames {
	s.t.Helper()
	conn := s.dial("h2")
	send(s.t, conn, http2.ClientPreface)
	f := &frames{Framer: http2.NewFramer(conn, conn), t: s.t, conn: conn}
	f.encoder = hpack.NewEncoder(&f.encoded)
	if err := f.WriteSettings(settings...); err != nil {
		s.t.Fatal(err)
	}
	frame, ok := f.read().(*http2.SettingsFrame)
	if !ok {
		s.t.Fatal("the server does not begin with settings")
	}
	f.streams, _ = frame.Value(http2.SettingMaxConcurrentStreams)
	if err := f.WriteSettingsAck(); err != nil {
		s.t.Fatal(err)
	}
	return f
}

func (f *frames) read() http2.Frame {
	f.t.Helper()
	frame, err := f.ReadFrame()
	if err != nil {
		f.t.Fatal(err)
	}
	return frame
}

// request begins a stream.
func (f *frames) request(id uint32, method string, end bool, fields ...hpack.HeaderField) {
	f.t.Helper()
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.encode(method, fields...), EndStream: end, EndHeaders: true})
	if err != nil {
		f.t.Fatal(err)
	}
}

// encode is the header of a request; it is good until the next.
func (f *frames) encode(method string, fields ...hpack.HeaderField) []byte {
	f.encoded.Reset()
	for _, field := range append([]hpack.HeaderField{
		{Name: ":method", Value: method},
		{Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "www." + domain},
		{Name: ":path", Value: "/"},
	}, fields...) {
		if err := f.encoder.WriteField(field); err != nil {
			f.t.Errorf("encoding %s: %v", field.Name, err)
		}
	}
	return f.encoded.Bytes()
}

// reset reads until the server resets a stream.
func (f *frames) reset() (id uint32, code string) {
	f.t.Helper()
	for {
		if frame, ok := f.read().(*http2.RSTStreamFrame); ok {
			return frame.StreamID, frame.ErrCode.String()
		}
	}
}

// rest reads all frames until the server closes.
func (f *frames) rest() []http2.Frame {
	f.t.Helper()
	var all []http2.Frame
	for {
		frame, err := f.ReadFrame()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			f.t.Fatalf("after %v: %v", all, err)
		}
		all = append(all, frame)
	}
}

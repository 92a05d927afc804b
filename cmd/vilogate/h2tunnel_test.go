package main_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"sync"

	"golang.org/x/net/http2"
)

// h2tunnel is a stream of HTTP/2 that has become a WebSocket (RFC 8441), on a connection of its own.
type h2tunnel struct {
	*h2conn
	stream uint32
	read   *io.PipeReader // what comes; io.EOF behind END_STREAM, an http2.StreamError behind RST_STREAM

	mu     sync.Mutex // held while a frame is written, and for what follows
	window int64      // bytes that may be sent
	opened *sync.Cond // there is more of it
	ended  error
}

// handshake is the handshake of a WebSocket over HTTP/2.
func (r request) handshake() []field {
	r.method, r.target = http.MethodGet, r.filled().target
	fields := r.fields()
	fields[0].value = http.MethodConnect
	return append([]field{{":protocol", "websocket"}}, append(fields, field{"sec-websocket-version", "13"})...)
}

// tunnel is begin, and what comes on the connection from then on belongs to the tunnel.
func (c *h2conn) tunnel(fields []field) (answer, *h2tunnel) {
	c.tb.Helper()
	a, t := c.begin(fields)
	if t != nil {
		var write *io.PipeWriter
		t.read, write = io.Pipe()
		go t.pump(write)
	}
	return a, t
}

// begin begins a WebSocket and waits for its answer, which is of status 0 where the stream was reset.
func (c *h2conn) begin(fields []field) (answer, *h2tunnel) {
	c.tb.Helper()
	t := &h2tunnel{h2conn: c, stream: c.headers(fields, false), window: 65535}
	t.opened = sync.NewCond(&t.mu)
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			c.tb.Logf("the connection ended: %v", err)
			return answer{}, nil
		}
		if f, ok := frame.(*http2.MetaHeadersFrame); ok && f.StreamID == t.stream {
			a := answer{header: http.Header{}}
			if ended := c.take(&a, f); ended || a.status != http.StatusOK {
				if !ended {
					a.body = c.read(t.stream).body
				}
				return a, nil
			}
			return a, t
		}
		if f, ok := frame.(*http2.RSTStreamFrame); ok && f.StreamID == t.stream {
			return answer{}, nil
		}
		t.control(frame)
	}
}

// control does what a frame of the connection asks for.
func (t *h2tunnel) control(frame http2.Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return
		}
		if size, ok := f.Value(http2.SettingInitialWindowSize); ok {
			t.window += int64(size) - 65535
		}
		_ = t.framer.WriteSettingsAck() // where it fails, so does the reading
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = t.framer.WritePing(true, f.Data) // likewise
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == t.stream {
			t.window += int64(f.Increment)
			t.opened.Broadcast()
		}
	}
}

// pump hands on what comes, and gives its window back.
func (t *h2tunnel) pump(to *io.PipeWriter) {
	err := t.frames(to)
	t.mu.Lock()
	t.ended = err
	t.opened.Broadcast()
	t.mu.Unlock()
	_ = to.CloseWithError(err) // it never fails
}

func (t *h2tunnel) frames(to *io.PipeWriter) error {
	for {
		frame, err := t.framer.ReadFrame()
		if err == io.EOF {
			return io.ErrUnexpectedEOF // of the connection, and not of the stream
		}
		if err != nil {
			return err
		}
		switch f := frame.(type) {
		case *http2.DataFrame:
			if _, err := to.Write(f.Data()); err != nil {
				return err
			}
			if n := uint32(len(f.Data())); n > 0 {
				t.mu.Lock()
				err = errors.Join(t.framer.WriteWindowUpdate(0, n), t.framer.WriteWindowUpdate(t.stream, n))
				t.mu.Unlock()
			}
			if f.StreamEnded() || err != nil {
				return err // nil is io.EOF to who reads
			}
		case *http2.RSTStreamFrame:
			return http2.StreamError{StreamID: f.StreamID, Code: f.ErrCode}
		default:
			t.control(frame)
		}
	}
}

// Read implements io.Reader.
func (t *h2tunnel) Read(p []byte) (int, error) { return t.read.Read(p) }

// Write implements io.Writer.
func (t *h2tunnel) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sent := 0
	for sent < len(p) {
		for t.window <= 0 && t.ended == nil {
			t.opened.Wait()
		}
		if t.ended != nil {
			return sent, t.ended
		}
		piece := p[sent:min(len(p), sent+int(min(t.window, 16384)))]
		if err := t.framer.WriteData(t.stream, false, piece); err != nil {
			return sent, err
		}
		sent, t.window = sent+len(piece), t.window-int64(len(piece))
	}
	return sent, nil
}

// CloseWrite ends what is sent.
func (t *h2tunnel) CloseWrite() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.framer.WriteData(t.stream, true, nil)
}

// Close resets the stream.
func (t *h2tunnel) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.framer.WriteRSTStream(t.stream, http2.ErrCodeCancel)
}

// openTunnel is openSocket over HTTP/2.
func (b *longBackend) openTunnel(s *site, path, query, credential string) *under {
	b.t.Helper()
	fields := request{host: appHost, target: path + "?" + query, header: []string{"Origin: https://" + appHost, credential}}.handshake()
	got, tunnel := s.h2(b.t, appHost).tunnel(fields)
	if tunnel == nil {
		b.t.Fatalf("WebSocket over HTTP/2 %s: %v", path, got)
	}
	u := &under{name: "WebSocket over HTTP/2 " + path, query: query, conn: tunnel, read: bufio.NewReader(tunnel), ended: make(chan string, 1)}
	b.arrived(query)
	u.echo(b.t)
	return u
}

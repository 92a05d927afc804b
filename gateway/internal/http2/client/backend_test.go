package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	h1 "github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// hangTimeout ends a test that hangs.
const hangTimeout = 30 * time.Second

// backend is an upstream that says what a test has it say, frame by frame.
type backend struct {
	t     *testing.T
	net   net.Listener
	pool  *Pool
	key   h1.Key
	conns chan *backendConn
}

// backendConn is a connection to it.
type backendConn struct {
	*http2.Framer
	net     net.Conn
	t       *testing.T
	encoder *hpack.Encoder
	block   bytes.Buffer
}

// newBackend makes an upstream that begins each connection with these settings.
func newBackend(t *testing.T, settings ...http2.Setting) *backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{t: t, net: listener, pool: NewPool(), key: h1.Key{Address: listener.Addr().String()}, conns: make(chan *backendConn, 100)}
	b.pool.Add(b.key)
	t.Cleanup(func() {
		b.pool.Close()
		_ = listener.Close() // a test may have
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c := &backendConn{Framer: http2.NewFramer(conn, conn), net: conn, t: t}
			c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			c.encoder = hpack.NewEncoder(&c.block)
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil || c.WriteSettings(settings...) != nil {
				return
			}
			b.conns <- c
		}
	}()
	return b
}

// accept is the next connection.
func (b *backend) accept() *backendConn {
	b.t.Helper()
	select {
	case c := <-b.conns:
		return c
	case <-time.After(hangTimeout):
		b.t.Fatal("no connection comes")
		return nil
	}
}

// next is the next frame but those about the connection, and the opening of windows.
func (c *backendConn) next() http2.Frame {
	c.t.Helper()
	for {
		f, err := c.read()
		if err != nil {
			c.t.Fatalf("reading a frame: %v", err)
		}
		switch f.(type) {
		case *http2.SettingsFrame, *http2.WindowUpdateFrame, *http2.PingFrame:
			continue
		}
		return f
	}
}

func (c *backendConn) read() (http2.Frame, error) {
	if err := c.net.SetReadDeadline(time.Now().Add(hangTimeout)); err != nil {
		return nil, err
	}
	return c.ReadFrame()
}

// request is the header of the next request.
func (c *backendConn) request() *http2.MetaHeadersFrame {
	c.t.Helper()
	f, ok := c.next().(*http2.MetaHeadersFrame)
	if !ok {
		c.t.Fatalf("%v in place of a request", f)
	}
	return f
}

// answer sends a header or a trailer section: names and values in turn.
func (c *backendConn) answer(id uint32, end bool, fields ...string) {
	c.t.Helper()
	c.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		c.must(c.encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	c.must(c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block.Bytes(), EndHeaders: true, EndStream: end}))
}

func (c *backendConn) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// sent is how a request went.
type sent struct {
	*Exchange
	err error
}

// get sends a request beside the test.
func (b *backend) get(r *Request) chan sent { return b.getWith(b.t.Context(), r) }

func (b *backend) getWith(ctx context.Context, r *Request) chan sent {
	if r.Method == "" {
		r.Method, r.Authority, r.Path = "POST", "app.test", "/x"
	}
	done := make(chan sent, 1)
	go func() {
		x, err := b.pool.Send(ctx, b.key, hangTimeout, r)
		done <- sent{x, err}
	}()
	return done
}

// await is how the request went, once it has.
func (b *backend) await(done chan sent) sent {
	b.t.Helper()
	select {
	case s := <-done:
		if s.err == nil {
			b.t.Cleanup(s.Close)
		}
		return s
	case <-time.After(hangTimeout):
		b.t.Fatal("the request does not end")
		return sent{}
	}
}

// uploadOf is a body of this text.
func uploadOf(body string) *h1.Upload {
	return &h1.Upload{Body: strings.NewReader(body), Length: int64(len(body)), Interrupt: func() {}}
}

// rest is what remains of an answer's body.
func (s sent) rest() (string, error) {
	var all strings.Builder
	for {
		piece, err := s.Next(nil)
		if errors.Is(err, io.EOF) {
			return all.String(), nil
		}
		if err != nil {
			return all.String(), err
		}
		all.Write(piece)
	}
}

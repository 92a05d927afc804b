package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/viloforge/vilogate/gateway/internal/http1"
	h1 "github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// dial opens a connection, and returns when the upstream has begun to speak HTTP/2 on it: nothing of a request has left before. A place for a
// request is reserved. The error is a net.OpError whose Op is "dial".
func dial(ctx context.Context, key h1.Key, timeout time.Duration, shared bool) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	netConn, err := h1.Dial(ctx, key)
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if secured, ok := netConn.(*tls.Conn); ok {
		scheme = "https"
		if secured.ConnectionState().NegotiatedProtocol != "h2" {
			_ = netConn.Close()
			return nil, notDialled(netConn, errors.New("the upstream does not negotiate h2 (ALPN)"))
		}
	}
	c := newConn(netConn, scheme, key.IdleTimeout, shared)
	c.reserved = 1
	c.begin()
	select {
	case <-c.ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.fail(err)
	}
	if c.err == nil {
		return c, nil
	}
	if err = c.err; !errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("HTTP/2 does not begin: %w", err)
	}
	return nil, notDialled(netConn, err)
}

func notDialled(c net.Conn, err error) error {
	return &net.OpError{Op: "dial", Net: c.RemoteAddr().Network(), Addr: c.RemoteAddr(), Err: err}
}

// begin sends the preface, and begins to read.
func (c *conn) begin() {
	c.framer = http2.NewFramer((*output)(c), bufio.NewReaderSize(c.net, maxData+9))
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxData)
	c.framer.MaxHeaderListSize = http1.MaxHeadBytes
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = (*output)(c).Write([]byte(http2.ClientPreface))
	_ = c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: http1.MaxHeadBytes},
	)
	_ = c.framer.WriteWindowUpdate(0, connWindow-firstWindow)
	c.flush()
	go c.read()
}

// read reads the connection to its end.
func (c *conn) read() {
	for {
		f, err := c.framer.ReadFrame()
		c.mu.Lock()
		var stream http2.StreamError
		switch {
		case err == nil:
			err = c.receive(f)
		case errors.As(err, &stream):
			var x *Exchange
			if x, err = c.find(stream.StreamID); x != nil {
				x.reset(malformed("an answer that HTTP/2 does not allow"), stream.Code)
			}
		case err == io.EOF:
			err = errSilent
		default:
			err = fmt.Errorf("client: reading: %w", err)
		}
		if err != nil {
			c.fail(err)
		}
		ended := c.err != nil
		c.mu.Unlock()
		if ended {
			return
		}
	}
}

package edge

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/viloforge/vilogate/gateway/internal/http1/server"
	"github.com/viloforge/vilogate/gateway/internal/http2"
)

// PlainOptions are what a PlainServer is made of.
type PlainOptions struct {
	Handler http.Handler
	// Listeners are open already.
	Listeners []net.Listener
	Limits    Limits // Connections are those of plain HTTP; Redirects count for nothing
	Log       *slog.Logger
}

// PlainServer serves a handler to programs nearby in plain HTTP: HTTP/1.1, or HTTP/2 with prior knowledge (RFC 9113, section 3.3). It
// is for no browser, and has no PROXY protocol.
type PlainServer struct {
	opts      PlainOptions
	http1     *server.Server
	http2     *http2.Server
	listeners []net.Listener // bounded
	done      context.Context
	cancel    context.CancelFunc
	accepted  connections
}

// NewPlain makes a server. Its limits have to be positive.
func NewPlain(o PlainOptions) (*PlainServer, error) {
	s := &PlainServer{opts: o, listeners: boundedListeners(o.Listeners, o.Limits.Connections, &o.Limits, nil)}
	s.done, s.cancel = context.WithCancel(context.Background())
	s.http1 = server.New(server.Options{Handler: o.Handler, Log: o.Log, Limits: o.Limits.http1()})
	var err error
	s.http2, err = http2.New(http2.Options{Handler: o.Handler, Log: o.Log, Limits: o.Limits.http2()})
	if err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	return s, nil
}

// Serve serves until Drain stops the accepting, or until a listener fails.
func (s *PlainServer) Serve() error {
	var group errgroup.Group
	s.accepted.begin(len(s.listeners))
	for _, l := range s.listeners {
		group.Go(func() error {
			defer s.accepted.end()
			if err := accept(s.done, l, s.serve, &s.accepted, s.opts.Log); err != nil {
				return fmt.Errorf("edge: serving on %s: %w", l.Addr(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// serve serves a connection by the protocol that it begins with.
func (s *PlainServer) serve(c net.Conn) {
	begun := &peekedConn{Conn: c, reader: bufio.NewReaderSize(c, len(http2Preface))}
	if err := c.SetReadDeadline(time.Now().Add(s.opts.Limits.IdleTime)); err != nil {
		_ = c.Close() // it is closed
		return
	}
	first, _ := begun.reader.Peek(len(http2Preface)) // HTTP/1 is told of an error as it reads
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		_ = c.Close() // it is closed
		return
	}
	if string(first) == http2Preface {
		s.http2.ServeConn(context.Background(), begun, nil)
		return
	}
	s.http1.ServeConn(context.Background(), begun, nil)
}

// http2Preface is how a connection of HTTP/2 begins, as far as nothing else does: PRI is no method of HTTP/1.1.
const http2Preface = "PRI "

// peekedConn is a connection of which the first bytes were read.
type peekedConn struct {
	net.Conn
	reader *bufio.Reader // of them, and then no more
}

// Read implements net.Conn.
func (c *peekedConn) Read(p []byte) (int, error) {
	if n := c.reader.Buffered(); n > 0 {
		return c.reader.Read(p[:min(n, len(p))])
	}
	return c.Conn.Read(p)
}

// CloseWrite ends what is written (TCP FIN).
func (c *peekedConn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Drain takes no connection any more, and waits until requests under way have been answered, or ctx has ended: then they are cut off,
// and the error says so.
func (s *PlainServer) Drain(ctx context.Context) error {
	s.cancel()
	var group errgroup.Group
	for _, l := range s.listeners {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			group.Go(func() error { return err })
		}
	}
	for _, each := range []interface {
		Shutdown(context.Context) error
		Close() error
	}{s.http1, s.http2} {
		group.Go(func() error {
			if err := each.Shutdown(ctx); err != nil {
				return errors.Join(fmt.Errorf("edge: requests were cut off: %w", err), each.Close())
			}
			return nil
		})
	}
	err := group.Wait()
	// Left are those that have sent nothing yet; whoever has asked by now is answered.
	ctx, cancel := context.WithTimeout(ctx, firstByteTimeout)
	defer cancel()
	s.accepted.wait(ctx)
	return err
}

// firstByteTimeout is how long a connection has for its first byte once a plain server drains.
const firstByteTimeout = 500 * time.Millisecond

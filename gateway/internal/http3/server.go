package http3

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// What QUIC buffers of what a client sends and nobody reads, at first and at most.
const (
	streamWindow        = 64 << 10
	maxStreamWindow     = 1 << 20
	connectionWindow    = 256 << 10
	maxConnectionWindow = 4 << 20
)

// uniStreams is how many streams in one direction a client may open: control and QPACK's two, and some of its own.
const uniStreams = 8

// Options are what a Server is made of.
type Options struct {
	Handler http.Handler
	TLS     *tls.Config // what every connection has. Its certificates are asked for at each handshake
	Limits  Limits
	Log     *slog.Logger
}

// Server serves HTTP/3. Its methods are safe for concurrent use.
type Server struct {
	opts   Options
	server http3.Server
	quic   *quic.Config
	tls    *tls.Config
	open   atomic.Int64 // connections, those in their handshake too
	full   atomic.Bool  // some were refused since there was room

	mu       sync.Mutex
	conns    map[*connection]struct{} // guarded by mu
	listen   []io.Closer              // guarded by mu: what takes connections
	sockets  []io.Closer              // guarded by mu: what they are on
	draining bool                     // guarded by mu
}

// New makes a server.
func New(o Options) *Server {
	s := &Server{
		opts: o, conns: map[*connection]struct{}{}, tls: http3.ConfigureTLSConfig(o.TLS),
		quic: &quic.Config{
			HandshakeIdleTimeout: o.Limits.HeaderTime, MaxIdleTimeout: o.Limits.IdleTime,
			MaxIncomingStreams: int64(o.Limits.Streams), MaxIncomingUniStreams: uniStreams,
			InitialStreamReceiveWindow: streamWindow, MaxStreamReceiveWindow: maxStreamWindow,
			InitialConnectionReceiveWindow: connectionWindow, MaxConnectionReceiveWindow: maxConnectionWindow,
		},
	}
	s.server = http3.Server{
		Handler: &timed{o.Handler, o.Limits}, MaxHeaderBytes: o.Limits.HeaderBytes, Logger: o.Log,
		ConnContext: s.connContext,
	}
	return s
}

var errTooManyConnections = errors.New("http3: too many connections")

// enter counts a connection, until leave; false where there are too many, which is logged once, until a quarter of them has ended.
func (s *Server) enter() bool {
	most := int64(s.opts.Limits.Connections)
	if s.open.Add(1) <= most {
		return true
	}
	s.open.Add(-1)
	if !s.full.Swap(true) {
		s.opts.Log.Warn("connections of HTTP/3 are refused: as many are open as may be", "connections", most)
	}
	return false
}

func (s *Server) leave() {
	if s.open.Add(-1) < int64(s.opts.Limits.Connections)*3/4 {
		s.full.Store(false)
	}
}

// Serve serves what comes on a socket, until the server ends. The error is that of listening.
func (s *Server) Serve(socket net.PacketConn) error {
	transport := &quic.Transport{
		Conn:                socket,
		VerifySourceAddress: func(net.Addr) bool { return s.open.Load() >= int64(s.opts.Limits.Connections/4) },
		ConnContext: func(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
			if !s.enter() {
				return nil, errTooManyConnections
			}
			context.AfterFunc(ctx, s.leave)
			return ctx, nil
		},
	}
	listener, err := transport.Listen(s.tls, s.quic)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	s.mu.Lock()
	s.listen, s.sockets = append(s.listen, listener), append(s.sockets, transport, socket)
	s.mu.Unlock()
	var all sync.WaitGroup
	defer all.Wait()
	for {
		conn, err := listener.Accept(context.Background())
		switch {
		case errors.Is(err, quic.ErrServerClosed), errors.Is(err, quic.ErrTransportClosed), errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		all.Go(func() {
			_ = s.server.ServeQUICConn(conn) // how a connection ends is its client's business
			closeQuietly(conn)
		})
	}
}

// Shutdown takes no request any more: clients are told (GOAWAY), and those under way are waited for, until ctx ends. Then the error
// says so.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for c := range s.conns {
		c.drain()
	}
	s.mu.Unlock()
	return errors.Join(closeEach(s, &s.listen), s.server.Shutdown(ctx), s.closeConnections(), closeEach(s, &s.sockets))
}

// closeConnections tells the clients of connections that are left that they end.
func (s *Server) closeConnections() error {
	s.mu.Lock()
	left := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range left {
		closeQuietly(c.conn)
	}
	return nil
}

// Close closes every connection, and the sockets.
func (s *Server) Close() error {
	return errors.Join(closeEach(s, &s.listen), s.server.Close(), closeEach(s, &s.sockets))
}

// connContext is what the requests of a connection have in their context: the connection.
func (s *Server) connContext(ctx context.Context, conn *quic.Conn) context.Context {
	c := &connection{conn: conn, idle: s.opts.Limits.IdleTime}
	c.timer = time.AfterFunc(c.idle, func() { closeQuietly(conn) })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.draining {
		c.drain()
	}
	context.AfterFunc(conn.Context(), func() {
		c.timer.Stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	})
	return context.WithValue(ctx, connectionKey{}, c)
}

// closeEach closes what is in a list of s, and empties it.
func closeEach(s *Server, list *[]io.Closer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []error
	for _, one := range *list {
		if err := one.Close(); !errors.Is(err, net.ErrClosed) {
			all = append(all, err)
		}
	}
	*list = nil
	return errors.Join(all...)
}

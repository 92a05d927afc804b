package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
)

// Limits bound what one client may use.
type Limits struct {
	HeaderBytes int           // of a request's header; 431 beyond
	HeaderTime  time.Duration // in which it must arrive
	IdleTime    time.Duration // without a request
	BodyMinRate int64         // bytes a second, while an upload with a Content-Length is in progress
	Streams     int           // under way on one HTTP/2 connection
}

// Options are what a Server is made of.
type Options struct {
	Handler        http.Handler
	HTTPS, HTTP    []net.Listener
	Source         Source
	Limits         Limits
	TrustedProxies []netip.Prefix         // whose PROXY protocol is believed
	ServedHost     func(host string) bool // whom plain HTTP redirects for
	PublicPort     int                    // to redirect to
	HSTS           bool
	MinVersion     uint16 // Optional: TLS 1.2
	// HostTLS is what a host asks of connections, by the name that a handshake is
	// for; nil for nothing. Optional.
	HostTLS func(serverName string) *HostTLS
	// ConnContext is what the requests of a connection of HTTP/1 have in their context,
	// and is to be called when it is closed, or speaks HTTP no longer. Optional.
	ConnContext func(context.Context) (context.Context, func())
	// Drain waits until ctx ends for what has been upgraded, which is no request any more, and then ends that and whatever
	// request is left. Optional: what has been upgraded is cut off when the process ends.
	Drain func(context.Context)
	// Tickets shares the keys of session tickets. Optional: nobody does.
	Tickets TicketStore
	Log     *slog.Logger
}

// Server serves the handler over TLS, and redirects plain HTTP.
type Server struct {
	opts     Options
	https    *http.Server
	http     *http.Server
	tickets  *tickets
	draining atomic.Bool
}

// How long a client may let its own bytes be waited for.
const (
	uploadPatience = 15 * time.Second // nothing of a body arrives, or less than the minimum rate
	writePatience  = time.Minute      // nothing of what it is sent is taken
)

// How many bytes of bodies a client of HTTP/2 may send ahead of what is read of them (RFC 9113, section 5.2). A browser has one
// connection for all the hosts of a certificate: an upload that its backend does not read fills its stream's window, and the
// connection's has room for seven such.
const (
	streamWindow     = 512 << 10
	connectionWindow = 4<<20 - 1 // the most that net/http takes
)

// New makes a server from listeners that are already open.
func New(o Options) (*Server, error) {
	switch {
	case o.Handler == nil || o.Source == nil || o.ServedHost == nil || o.Log == nil:
		return nil, errors.New("edge: a server needs a handler, a source of certificates, the hosts served and a log")
	case len(o.HTTPS) == 0:
		return nil, errors.New("edge: a server needs a listener")
	case o.Limits.HeaderBytes <= 0 || o.Limits.HeaderTime <= 0 || o.Limits.IdleTime <= 0 || o.Limits.Streams <= 0:
		return nil, errors.New("edge: a server needs limits of header, idle time and streams")
	}
	if o.MinVersion < tls.VersionTLS12 {
		o.MinVersion = tls.VersionTLS12
	}
	s := &Server{opts: o}
	s.https = s.server(s.secure(boundUploads(boundDownloads(o.Handler, writePatience), o.Limits.BodyMinRate, uploadPatience)))
	s.https.Protocols.SetHTTP2(true)
	s.https.ConnContext = s.connContext
	s.https.TLSConfig = &tls.Config{
		MinVersion:     o.MinVersion,
		GetCertificate: o.Source.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
	}
	if o.HostTLS != nil {
		s.https.TLSConfig = withHostTLS(s.https.TLSConfig, o.HostTLS)
	}
	var err error
	if s.tickets, err = newTickets(s.https.TLSConfig, o.Tickets, time.Now, o.Log); err != nil {
		return nil, fmt.Errorf("edge: the first session ticket key: %w", err)
	}
	s.http = s.server(redirect(o.ServedHost, o.PublicPort))
	// It answers at once and reads no body, and so waits for nobody.
	s.http.ReadTimeout, s.http.WriteTimeout = o.Limits.HeaderTime, o.Limits.HeaderTime
	return s, nil
}

// connContext is the context of the requests of a connection.
func (s *Server) connContext(ctx context.Context, conn net.Conn) context.Context {
	strict, ok := conn.(*strictConn)
	if !ok {
		return ctx
	}
	if s.opts.ConnContext != nil {
		ctx, strict.onClose = s.opts.ConnContext(ctx)
	}
	return withTLSState(ctx, strict)
}

func (s *Server) server(handler http.Handler) *http.Server {
	l := s.opts.Limits
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: l.HeaderTime,
		IdleTimeout:       l.IdleTime,
		// net/http reads up to 4 KiB more than it is told, of HTTP/1.
		MaxHeaderBytes: max(l.HeaderBytes-4096, 1),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: l.Streams, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connectionWindow,
		},
		// `OPTIONS *` is for the handler to refuse, as anything else.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(noiseFilter{s.opts.Log.Handler()}, slog.LevelWarn),
	}
}

// secure puts around the handler what every answer over TLS has.
func (s *Server) secure(next http.Handler) http.Handler {
	return restoreTLSState(originForm(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.opts.HSTS {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		if s.draining.Load() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})))
}

// Serve serves until Drain stops the accepting, or until a listener fails: then
// everything is closed.
func (s *Server) Serve() error {
	var group errgroup.Group
	run := func(serve func(net.Listener) error, l net.Listener) {
		group.Go(func() error {
			err := serve(s.limitConns(l))
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return errors.Join(fmt.Errorf("edge: serving on %s: %w", l.Addr(), err), s.https.Close(), s.http.Close())
		})
	}
	for _, l := range s.opts.HTTPS {
		run(func(l net.Listener) error {
			return s.https.Serve(newHandshakeListener(l, s.https.TLSConfig, s.opts.Limits.HeaderTime, s.opts.Log))
		}, l)
	}
	for _, l := range s.opts.HTTP {
		run(s.http.Serve, l)
	}
	return group.Wait()
}

// RotateTickets rotates the session ticket keys until ctx ends.
func (s *Server) RotateTickets(ctx context.Context) error { return s.tickets.run(ctx) }

// Drain takes the server down: for delay it goes on accepting, so that load
// balancers notice; then it says GOAWAY, and what is in flight has timeout to
// finish, what has been upgraded too. The error says what was cut off.
func (s *Server) Drain(ctx context.Context, delay, timeout time.Duration) error {
	s.draining.Store(true)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var group errgroup.Group
	drained := make(chan struct{})
	group.Go(func() error {
		defer close(drained)
		if s.opts.Drain != nil {
			s.opts.Drain(ctx)
		}
		return nil
	})
	for _, server := range []*http.Server{s.https, s.http} {
		group.Go(func() error {
			err := server.Shutdown(ctx)
			if err == nil {
				return nil
			}
			<-drained // which ends requests in their own way
			return errors.Join(fmt.Errorf("edge: requests were cut off: %w", err), server.Close())
		})
	}
	return group.Wait()
}

// limitConns is the listener with a connection limit, the write timeout and the PROXY protocol.
func (s *Server) limitConns(l net.Listener) net.Listener {
	return acceptProxyProtocol(netutil.LimitListener(writeTimeoutListener{l, writePatience}, maxConnections()), s.opts.TrustedProxies)
}

package edge

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/viloforge/vilogate/gateway/internal/http1/server"
	"github.com/viloforge/vilogate/gateway/internal/http2"
	"github.com/viloforge/vilogate/gateway/internal/http3"
)

// Limits bound what one client may use.
type Limits struct {
	HeaderBytes int           // of a request's header; 431 beyond
	HeaderTime  time.Duration // in which it must arrive, and the handshake before it; over HTTP/3 the handshake alone
	IdleTime    time.Duration // without a request
	BodyMinRate int64         // bytes a second, while an upload with a Content-Length is in progress
	Streams     int           // under way on one HTTP/2 connection
	Connections int           // over TLS. Optional: half of the files that the process may open
	Redirects   int           // of plain HTTP. Optional: likewise
	// TCPKeepAlive is how long a connection may be silent until TCP's own probes begin. Zero: 15 s. Negative: there are none.
	TCPKeepAlive time.Duration
}

// Options are what a Server is made of.
type Options struct {
	Handler http.Handler
	// Refuse answers a request that cannot be served as it was sent, or in plain HTTP not be redirected: its status, and why.
	// Optional: the status alone is answered.
	Refuse      func(w http.ResponseWriter, r *http.Request, status int, reason string)
	HTTPS, HTTP []net.Listener
	// HTTP3 are sockets for HTTP/3. Optional. HTTP3Port is the port of theirs that clients of the other protocols are told of.
	HTTP3     []net.PacketConn
	HTTP3Port int
	// HTTP3Free is closed when nobody else reads from the sockets for HTTP/3. Optional: nobody does.
	HTTP3Free      <-chan struct{}
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
	// Drain ends what has been upgraded, which is no request any more, and whatever request is left when ctx has ended. Optional:
	// they are cut off.
	Drain func(context.Context)
	// Tickets shares the keys of session tickets. Optional: nobody does.
	Tickets TicketStore
	Log     *slog.Logger
}

// Server serves the handler over TLS, and redirects plain HTTP.
type Server struct {
	opts      Options
	tlsConfig *tls.Config
	tickets   *tickets
	altSvc    []string // that there is HTTP/3

	http1 *server.Server // over TLS
	http2 *http2.Server
	http3 *http3.Server
	plain *server.Server // redirects

	https, http []net.Listener  // bounded
	done        context.Context // ends with the listeners
	cancel      context.CancelFunc
	baseContext context.Context // handshakes are, and end with it
	cancelBase  context.CancelFunc
	connections connections
}

// How long a client may let its own bytes be waited for.
const (
	bodyTimeout  = 15 * time.Second // nothing of a body arrives, or less than the minimum rate
	writeTimeout = time.Minute      // nothing of what it is sent is taken
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
	s := &Server{opts: o, https: boundedListeners(o.HTTPS, o.Limits.Connections, &o.Limits, o.TrustedProxies), http: boundedListeners(o.HTTP, o.Limits.Redirects, &o.Limits, o.TrustedProxies)}
	s.done, s.cancel = context.WithCancel(context.Background())
	s.baseContext, s.cancelBase = context.WithCancel(context.Background())
	s.tlsConfig = &tls.Config{
		MinVersion:     o.MinVersion,
		GetCertificate: o.Source.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1", "http/1.0"},
		// Whole records from the first on: an answer of a few KB leaves in one write, instead of one for each TCP segment.
		DynamicRecordSizingDisabled: true,
	}
	if o.HostTLS != nil {
		s.tlsConfig = withHostTLS(s.tlsConfig, o.HostTLS)
	}
	var err error
	if s.tickets, err = newTickets(s.tlsConfig, o.Tickets, time.Now, o.Log); err != nil {
		return nil, fmt.Errorf("edge: the first session ticket key: %w", err)
	}
	if o.Refuse == nil {
		o.Refuse = func(w http.ResponseWriter, _ *http.Request, status int, _ string) { w.WriteHeader(status) }
	}
	handler := s.secure(o.Handler)
	limits := o.Limits.http1()
	refuse := s.refuse(o.Refuse)
	s.http1 = server.New(server.Options{Handler: handler, Refuse: refuse, ConnContext: o.ConnContext, Limits: limits, Log: o.Log})
	s.plain = server.New(server.Options{Handler: redirect(o.ServedHost, o.PublicPort, o.Refuse), Refuse: o.Refuse, Limits: limits, Log: o.Log})
	s.http2, err = http2.New(http2.Options{Handler: handler, Malformed: refuse, Log: o.Log, Limits: o.Limits.http2()})
	if err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	s.altSvc = altSvc(o.HTTP3Port)
	s.http3 = newHTTP3(handler, s.tlsConfig, http3.Limits{
		HeaderBytes: o.Limits.HeaderBytes, HeaderTime: o.Limits.HeaderTime, IdleTime: o.Limits.IdleTime, Streams: o.Limits.Streams,
		Connections: cmp.Or(o.Limits.Connections, maxConnections()), BodyMinRate: o.Limits.BodyMinRate, BodyTimeout: bodyTimeout, WriteTimeout: writeTimeout,
	}, o.Log)
	return s, nil
}

// http1 are the limits for connections of HTTP/1.1, and http2 for those of HTTP/2.
func (l *Limits) http1() server.Limits {
	return server.Limits{HeaderBytes: l.HeaderBytes, HeaderTime: l.HeaderTime, IdleTime: l.IdleTime, BodyMinRate: l.BodyMinRate, BodyTime: bodyTimeout}
}

func (l *Limits) http2() http2.Limits {
	return http2.Limits{
		HeaderBytes: l.HeaderBytes, HeaderTime: l.HeaderTime, IdleTime: l.IdleTime, Streams: l.Streams,
		BodyMinRate: l.BodyMinRate, BodyTimeout: bodyTimeout, WriteTimeout: writeTimeout,
	}
}

// boundedListeners are listeners with a connection limit that they share, the write timeout and the PROXY protocol.
func boundedListeners(listeners []net.Listener, most int, l *Limits, trusted []netip.Prefix) []net.Listener {
	if most <= 0 {
		most = maxConnections()
	}
	slots := make(chan struct{}, most)
	bounded := make([]net.Listener, len(listeners))
	for i, listener := range listeners {
		bounded[i] = acceptProxyProtocol(newBoundedListener(listener, slots, writeTimeout, l.TCPKeepAlive), trusted)
	}
	return bounded
}

// secure puts around the handler what every answer over TLS has.
func (s *Server) secure(next http.Handler) http.Handler {
	if !s.opts.HSTS && len(s.opts.HTTP3) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.setHeader(w, r)
		next.ServeHTTP(w, r)
	})
}

// refuse is Options.Refuse with what every answer over TLS has.
func (s *Server) refuse(refuse func(http.ResponseWriter, *http.Request, int, string)) func(http.ResponseWriter, *http.Request, int, string) {
	return func(w http.ResponseWriter, r *http.Request, status int, reason string) {
		s.setHeader(w, r)
		refuse(w, r, status, reason)
	}
}

// setHeader sets what every answer over TLS has: HSTS (RFC 6797), and in the other protocols that there is HTTP/3 (RFC 7838).
func (s *Server) setHeader(w http.ResponseWriter, r *http.Request) {
	if s.opts.HSTS {
		w.Header()["Strict-Transport-Security"] = []string{"max-age=31536000"}
	}
	if len(s.opts.HTTP3) > 0 && r.ProtoMajor < 3 {
		w.Header()["Alt-Svc"] = s.altSvc
	}
}

// Serve serves until Drain stops the accepting, or until a listener fails: then
// everything is closed.
func (s *Server) Serve() error {
	var group errgroup.Group
	s.connections.begin(len(s.https) + len(s.http))
	run := func(listeners []net.Listener, serve func(net.Conn)) {
		for _, l := range listeners {
			group.Go(func() error {
				defer s.connections.end()
				if err := accept(s.done, l, serve, &s.connections, s.opts.Log); err != nil {
					return errors.Join(fmt.Errorf("edge: serving on %s: %w", l.Addr(), err), s.closeListeners(), s.closeAll())
				}
				return nil
			})
		}
	}
	run(s.https, s.serveTLS)
	run(s.http, func(c net.Conn) { s.plain.ServeConn(context.Background(), c, nil) })
	for _, socket := range s.opts.HTTP3 {
		group.Go(func() error {
			if s.opts.HTTP3Free != nil {
				select {
				case <-s.opts.HTTP3Free:
				case <-s.done.Done():
					return nil
				}
			}
			if err := s.http3.Serve(socket); err != nil {
				return errors.Join(fmt.Errorf("edge: serving HTTP/3 on %s: %w", socket.LocalAddr(), err), s.closeListeners(), s.closeAll())
			}
			return nil
		})
	}
	return group.Wait()
}

// serveTLS serves a connection from its handshake on, which has a timeout and ends with the server.
func (s *Server) serveTLS(raw net.Conn) {
	conn := tls.Server(raw, s.tlsConfig)
	if err := s.handshake(conn); err != nil {
		s.opts.Log.Debug("TLS handshake failed", "client", raw.RemoteAddr().String(), "error", err)
		answerPlain(raw, err)
		s.drop(raw)
		return
	}
	state := conn.ConnectionState()
	if state.NegotiatedProtocol == "h2" {
		s.http2.ServeConn(context.Background(), conn, &state)
		return
	}
	s.http1.ServeConn(context.Background(), conn, &state)
}

// errPanic is of a handshake that ended in a panic, which is logged.
var errPanic = errors.New("edge: panic in a handshake")

// handshake makes the handshake, on a goroutine of its own: its cryptography takes 16 KiB of stack, which the connection's would keep
// for as long as it is idle.
func (s *Server) handshake(conn *tls.Conn) error {
	done := make(chan error, 1)
	go func() {
		err := errPanic
		defer func() { done <- err }()
		defer endPanic(conn.NetConn(), s.opts.Log)
		ctx, cancel := context.WithTimeout(s.baseContext, s.opts.Limits.HeaderTime)
		defer cancel()
		err = conn.HandshakeContext(ctx)
	}()
	return <-done
}

// answerPlain tells a client that speaks plain HTTP to a port of TLS, as people do who write http for https.
func answerPlain(c net.Conn, err error) {
	var notTLS tls.RecordHeaderError
	if !errors.As(err, &notTLS) || notTLS.Conn == nil {
		return
	}
	switch string(notTLS.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH":
		_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"+
			"This port speaks HTTPS.\n") // who does not hear it sees the connection end
	}
}

func (s *Server) drop(c net.Conn) {
	if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		s.opts.Log.Debug("closing a connection", "error", err)
	}
}

// closeListeners ends the accepting.
func (s *Server) closeListeners() error {
	s.cancel()
	var all []error
	for _, l := range slices.Concat(s.https, s.http) {
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// closeAll closes every connection.
func (s *Server) closeAll() error {
	s.cancelBase()
	return errors.Join(s.http1.Close(), s.plain.Close(), s.http2.Close(), s.http3.Close())
}

// RotateTickets rotates the session ticket keys until ctx ends.
func (s *Server) RotateTickets(ctx context.Context) error { return s.tickets.run(ctx) }

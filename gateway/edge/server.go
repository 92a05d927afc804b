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
	"strconv"
	"sync/atomic"
	"time"

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
	Log            *slog.Logger
}

// Server serves the handler over TLS, and redirects plain HTTP.
type Server struct {
	opts     Options
	https    *http.Server
	http     *http.Server
	draining atomic.Bool
}

// handshakeTime bounds a TLS handshake, with the reading of a PROXY header.
const handshakeTime = 10 * time.Second

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
	s.https = s.server(s.secure())
	s.https.TLSConfig = &tls.Config{
		MinVersion:     o.MinVersion,
		GetCertificate: o.Source.GetCertificate,
		NextProtos:     []string{"h2", "http/1.1"},
	}
	s.http = s.server(redirect(o.ServedHost, o.PublicPort))
	return s, nil
}

func (s *Server) server(handler http.Handler) *http.Server {
	l := s.opts.Limits
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: l.HeaderTime,
		IdleTimeout:       l.IdleTime,
		// net/http reads up to 4 KiB more than it is told.
		MaxHeaderBytes: max(l.HeaderBytes-4096, 1),
		HTTP2:          &http.HTTP2Config{MaxConcurrentStreams: l.Streams},
		ErrorLog:       slog.NewLogLogger(quiet{s.opts.Log.Handler()}, slog.LevelWarn),
	}
}

// secure puts around the handler what every answer over TLS has.
func (s *Server) secure() http.Handler {
	handler := minimumRate(s.opts.Handler, s.opts.Limits.BodyMinRate)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.opts.HSTS {
			w.Header()["Strict-Transport-Security"] = hsts
		}
		if s.draining.Load() && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
}

var hsts = []string{"max-age=31536000"}

// Serve serves until Drain has ended, or a listener fails.
func (s *Server) Serve() error {
	var group errgroup.Group
	for _, l := range s.opts.HTTPS {
		group.Go(func() error {
			return serve(s.https.ServeTLS(s.proxied(l), "", ""), l)
		})
	}
	for _, l := range s.opts.HTTP {
		group.Go(func() error { return serve(s.http.Serve(s.proxied(l)), l) })
	}
	return group.Wait()
}

func serve(err error, l net.Listener) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("edge: serving on %s: %w", l.Addr(), err)
}

// Drain takes the server down: for delay it goes on accepting, so that load
// balancers notice; then it says GOAWAY, and what is in flight has timeout to
// finish. The error says what was cut off.
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
	for _, server := range []*http.Server{s.https, s.http} {
		group.Go(func() error {
			err := server.Shutdown(ctx)
			if err == nil {
				return nil
			}
			return errors.Join(fmt.Errorf("edge: requests were cut off after %s: %w", timeout, err), server.Close())
		})
	}
	return group.Wait()
}

// publicAuthority is host with the port that people see.
func publicAuthority(host string, port int) string {
	if port == 443 {
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/handover"
	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/metrics"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/stores"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// New makes every part of a server.
func New(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o, metrics: metrics.New(), started: time.Now(), fetching: map[*jwks.Remote]context.CancelFunc{}, transfer: newTransfer(o.Inherited)}
	s.active.Store(!o.Inherited.TakesOver())
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	cfg, err := s.o.Load()
	if err != nil {
		return err
	}
	if s.active.Load() {
		// What an earlier process said of itself holds no longer.
		if err := os.Remove(s.o.State.Path(state.Addresses)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, step := range []func(context.Context, *config.Config) error{
		s.openListeners, s.build, s.openStores, s.openAudit, s.openIDP, s.openGateway, s.openControl,
	} {
		if err := step(ctx, cfg); err != nil {
			return err
		}
	}
	if err := s.openServers(); err != nil {
		return err
	}
	if err := s.o.Inherited.Close(); err != nil { // what the configuration has no use for
		return err
	}
	s.registerMetrics()
	s.metrics.SetLastReload(time.Now())
	if s.o.Watch {
		s.AddTask(func(ctx context.Context) error {
			return watch(ctx, cfg.Path, filepath.Clean(cfg.Policies), s.ReloadAndLog)
		})
	}
	if !s.active.Load() {
		return nil
	}
	return s.unlessFull(s.recordConfig())
}

func (s *Server) openListeners(ctx context.Context, cfg *config.Config) (err error) {
	if s.listeners, err = listen(ctx, cfg, s.o.Inherited); err != nil {
		return err
	}
	s.onClose(s.listeners.close)
	return nil
}

// build makes the first generation, before anything is opened that it could be refused for. It names parts that are opened
// after it, and asks them only when something is served.
func (s *Server) build(_ context.Context, cfg *config.Config) error {
	s.builder = generation.Builder{
		PublicPort: generation.PublicPort(cfg, port(s.listeners.https)), Shadow: s.o.Shadow, Log: s.o.Log,
		OwnKeys:  token.KeySourceFunc(func(kid string, now time.Time) (token.PublicKey, error) { return s.idp.Load().Keys().Key(kid, now) }),
		Login:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.idp.Load().ServeHTTP(w, r) }),
		Sessions: &ownSessions{s.idp.Load},
		Roles:    func(f token.RoleFinding) { s.metrics.ObserveRoles(f) },
		Revoked:  func(c *token.Claims) bool { return s.stores.Revoked(c) },
	}
	first, err := s.builder.Build(cfg, nil)
	if err != nil {
		return err
	}
	s.current.Store(first)
	s.logKeyWarnings(cfg)
	return nil
}

func (s *Server) openStores(ctx context.Context, cfg *config.Config) (err error) {
	if s.stores, err = stores.Open(ctx, cfg, s.o.State, stores.Options{Demo: s.o.Demo, Log: s.o.Log}); err != nil {
		return err
	}
	s.onClose(s.stores.Close)
	s.AddTask(s.stores.List.Run)
	return nil
}

// openGateway makes the gateway and what it needs. An IdP alone has none.
func (s *Server) openGateway(ctx context.Context, cfg *config.Config) (err error) {
	if !cfg.Gateway() {
		return nil
	}
	if s.assertionKey, err = stores.AssertionKey(s.o.State); err != nil {
		return err
	}
	s.shareAssertionKey()
	if err := s.openCertificates(ctx, cfg); err != nil {
		return err
	}
	if err := s.openLimits(cfg); err != nil {
		return err
	}
	s.allocateDescriptors(cfg)
	o := gateway.Options{
		Current:      func() *gateway.Generation { return s.current.Load().Gateway },
		AssertionKey: s.assertionKey, AssertionKeys: s.assertionKeys.bytes, Revocations: s.stores.List, Covers: s.source.CanCoalesce,
		Limits: s.limits, ConnectionAuth: min(cfg.Limits.ConnectionAuth, s.descriptors.OneClients), BufferMemory: int64(cfg.Limits.BufferMemory),
		BufferDisk: gateway.BufferDisk{Folder: s.o.State.Dir, Bytes: int64(cfg.Limits.BufferDisk), Files: bufferFiles}, Observe: s.observe, Log: s.o.Log,
		ClearSiteData: cfg.Logout.Header(),
		Admission: gateway.Admission{
			Requests: s.descriptors.Requests, PerClient: s.descriptors.PerClient,
			LoginRequests: s.descriptors.LoginRequests, IdleConnections: s.descriptors.IdleConnections,
		},
	}
	if o.Posts, err = s.openPosts(cfg); err != nil {
		return err
	}
	o.Sessions = sessionStatus{s}
	if cfg.ForwardAuth != nil {
		o.ForwardAuth = generation.Prefixes(cfg.ForwardAuth.TrustedProxies)
	}
	if s.audit != nil {
		o.Audit = s.audit
	}
	if s.gateway, err = gateway.New(o); err != nil {
		return err
	}
	s.onClose(func() error { s.gateway.Close(); return nil })
	s.stores.List.Notify(s.gateway.Revoke)
	s.AddTask(s.gateway.Run)
	if err := s.openForwardAuth(cfg); err != nil {
		return err
	}
	return s.openEdge(cfg)
}

// allocateDescriptors shares out what the process may open, and says so.
func (s *Server) allocateDescriptors(cfg *config.Config) {
	s.descriptors = AllocateDescriptors(cfg)
	d := s.descriptors
	s.o.Log.Info("open files are shared out", "limit", d.Limit, "own", d.Own, "clients", d.Clients, "redirects", d.Redirects,
		"upstream_requests", d.Requests, "of_one_client", d.PerClient, "idle", d.IdleConnections, "login", d.LoginRequests)
	if warning := d.Warning(cfg); warning != "" {
		s.o.Log.Warn("few open files", "error", warning)
	}
}

// openEdge makes what takes connections.
func (s *Server) openEdge(cfg *config.Config) error {
	tickets, err := s.sharedTickets(cfg)
	if err != nil {
		return err
	}
	limits := edgeLimits(&cfg.Limits, s.descriptors.Clients)
	limits.Redirects = s.descriptors.Redirects
	s.edge, err = edge.New(edge.Options{
		Handler: s.gateway, Refuse: s.gateway.Refuse, HTTPS: s.listeners.https, HTTP: s.listeners.http, Source: s.source,
		HTTP3: s.listeners.http3, HTTP3Port: s.listeners.http3Port(s.builder.PublicPort), HTTP3Free: s.transfer.http3Free,
		TrustedProxies: generation.Prefixes(cfg.TrustedProxies), PublicPort: s.builder.PublicPort, HSTS: s.o.HSTS, Tickets: tickets, Log: s.o.Log,
		HostTLS:     func(serverName string) *edge.HostTLS { return s.current.Load().TLS.Lookup(serverName) },
		ConnContext: s.gateway.ConnContext, Drain: s.gateway.Drain,
		ServedHost: func(host string) bool { return s.current.Load().Gateway.Serves(host) },
		Limits:     limits,
	})
	if err == nil {
		s.AddTask(s.edge.RotateTickets)
	}
	return err
}

// openLimits makes the rate limiter; in a fleet it is synced through Redis.
func (s *Server) openLimits(cfg *config.Config) (err error) {
	o := limits.Options{Secret: []byte(cfg.Secret), Log: s.o.Log}
	if redis := s.stores.Redis; redis != nil {
		o.Shared = limits.NewRedis(redis.Client())
	}
	if s.limits, err = limits.New(o); err != nil {
		return err
	}
	s.AddTask(s.limits.Run)
	return nil
}

// openPosts makes what keeps forms while their senders sign in, nil where none are kept; in a fleet they are in Redis.
func (s *Server) openPosts(cfg *config.Config) (*posts.Keeper, error) {
	o := posts.Options{MaxBody: cfg.KeepPost()}
	if o.MaxBody == 0 {
		return nil, nil
	}
	if redis := s.stores.Redis; redis != nil {
		o.Secret = []byte(cfg.Secret)
		o.Store = redis.Posts(revocation.PostBounds{
			Lifetime: posts.Lifetime, PerSender: posts.PerBrowser, Total: posts.Total, Overhead: posts.Overhead,
		})
	}
	return posts.New(o)
}

// shareAssertionKey publishes our assertion key to the other gateways of a fleet, and follows theirs.
func (s *Server) shareAssertionKey() {
	s.assertionKeys = newAssertionKeys(s.assertionKey.Public())
	if redis := s.stores.Redis; redis != nil {
		s.AddTask(func(ctx context.Context) error { return s.assertionKeys.publish(ctx, redis, s.o.Log) })
		s.AddTask(func(ctx context.Context) error { return s.assertionKeys.follow(ctx, redis, s.o.Log) })
		s.addReadyCheck("assertion_key", s.assertionKeys.check)
	}
}

// openControl opens the control socket.
func (s *Server) openControl(context.Context, *config.Config) (err error) {
	var mux control.Mux
	control.Handle(&mux, "reload", administration.Recorded(s.audit, "reload", administration.NoUser[control.Nothing],
		func(context.Context, control.Nothing) (Reloaded, error) { return s.Reload() }))
	administration.Handle(&mux, s.admin, s.audit)
	s.registerCertificateActions(&mux)
	s.registerTokenActions(&mux)
	control.Handle(&mux, "status", func(context.Context, control.Nothing) (Status, error) { return s.status(), nil })
	if s.o.State.Shared() {
		s.control, err = control.Take(s.o.State.Dir, s.o.Inherited.Take(handover.Control), &mux, s.o.Log)
	} else {
		s.control, err = control.Listen(s.o.State.Dir, &mux, s.o.Log)
	}
	if err != nil {
		return err
	}
	s.onClose(s.control.Close)
	return nil
}

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/metrics"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/stores"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// Options say which server to run.
type Options struct {
	// Load reads the configuration, now and at every reload.
	Load func() (*config.Config, error)
	// State is the state folder. Whoever opened it closes it after the server.
	State *state.Folder
	// Shadow is a folder of policies that are evaluated beside the live ones. Optional.
	Shadow string
	// Demo says that the users are demo users.
	Demo bool
	// HSTS has answers tell browsers to come by HTTPS only.
	HSTS bool
	// Watch reloads when the configuration or a policy has changed.
	Watch bool
	// Stdout is told the line `ready`.
	Stdout io.Writer
	Log    *slog.Logger
}

// Server is a process that serves: what `serve` and `dev` have in common. [New] makes every part, so that whatever is wrong
// is known before anything is served; [Server.Run] starts them and takes them down in order.
type Server struct {
	o             Options
	builder       generation.Builder
	stores        *stores.Stores
	idp           *idp.IDP         // nil in a gateway alone
	gateway       *gateway.Gateway // nil in an IdP alone
	edge          *edge.Server     // likewise
	source        edge.Source      // likewise
	acme          *acme.Manager    // nil unless the certificates come from an authority
	caPath        string           // of the local CA
	assertionKey  *token.PrivateKey
	assertionKeys *assertionKeys
	audit         *audit.Log // nil without one
	limits        *limits.Limiter
	metrics       *metrics.Metrics
	started       time.Time
	ready         readiness
	listeners     *listeners
	servers       []plainServer
	control       *control.Server
	tasks         []func(context.Context) error
	closers       []func() error // called last to first

	group      *errgroup.Group // the goroutines that Run started
	background context.Context // they end with it

	// current is what everything that serves reads, each time anew: the gateway's requests, the edge's handshakes, the
	// certificates from files, the IdP's addresses to return to. A single store replaces all of it.
	current   atomic.Pointer[generation.Generation]
	replacing sync.Mutex                          // held by whoever is about to replace current
	fetching  map[*jwks.Remote]context.CancelFunc // of current, once they were started; guarded by replacing
}

// AddTask has Run start f, and end with it when it fails. f ends with its context. It is to be called before Run.
func (s *Server) AddTask(f func(context.Context) error) { s.tasks = append(s.tasks, f) }

// Config is the configuration of the current generation.
func (s *Server) Config() *config.Config { return s.current.Load().Config }

// AssertionKey verifies what this gateway tells backends.
func (s *Server) AssertionKey() token.PublicKey { return s.assertionKey.Public() }

// Close gives up whatever was opened.
func (s *Server) Close() error {
	var err error
	for _, f := range slices.Backward(s.closers) {
		err = errors.Join(err, f())
	}
	s.closers = nil
	return err
}

// New makes every part of a server.
func New(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o, metrics: metrics.New(), started: time.Now(), fetching: map[*jwks.Remote]context.CancelFunc{}}
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
	// What an earlier process said of itself holds no longer.
	if err := os.Remove(s.o.State.Path(state.Addresses)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, step := range []func(context.Context, *config.Config) error{
		s.openListeners, s.build, s.openStores, s.openIDP, s.openGateway, s.openControl,
	} {
		if err := step(ctx, cfg); err != nil {
			return err
		}
	}
	s.openServers()
	s.registerMetrics()
	s.metrics.SetLastReload(time.Now())
	if s.o.Watch {
		s.AddTask(func(ctx context.Context) error {
			return watch(ctx, cfg.Path, filepath.Clean(cfg.Policies), s.ReloadAndLog)
		})
	}
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return err
	}
	return s.o.State.Write(state.Config, []byte(path+"\n"))
}

func (s *Server) onClose(f func() error) { s.closers = append(s.closers, f) }

func (s *Server) openListeners(ctx context.Context, cfg *config.Config) (err error) {
	if s.listeners, err = listen(ctx, cfg); err != nil {
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
		OwnKeys: token.KeySourceFunc(func(kid string, now time.Time) (token.PublicKey, error) { return s.idp.Keys().Key(kid, now) }),
		Login:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.idp.ServeHTTP(w, r) }),
		Revoked: func(c *token.Claims) bool { return s.stores.Revoked(c) },
	}
	first, err := s.builder.Build(cfg, nil)
	if err != nil {
		return err
	}
	s.current.Store(first)
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

func (s *Server) openIDP(ctx context.Context, cfg *config.Config) error {
	if cfg.IDP == nil {
		return nil
	}
	seal, err := stores.SealKey(cfg, s.o.State)
	if err != nil {
		return err
	}
	i := cfg.IDP
	var proxies []config.Network // in one process the gateway says who asks
	if !cfg.Gateway() {
		proxies = cfg.TrustedProxies
	}
	s.idp, err = idp.New(ctx, idp.Options{
		DB: s.stores.DB, Revocations: s.stores.List, SealKey: seal,
		Domain: cfg.Domain, LoginHost: cfg.Login.Host, PublicPort: s.builder.PublicPort,
		CookieName: cfg.Tokens.Cookie, Audience: cfg.Tokens.Audience,
		AccessTTL: i.AccessTokenTTL.Std(), SessionIdle: i.SessionIdle.Std(), SessionMax: i.SessionMax.Std(),
		RedirectPolicy: func() *idp.RedirectPolicy { return s.current.Load().Returns },
		TrustedProxies: generation.Prefixes(proxies), ClientIPHeaders: generation.ClientIPHeaders(cfg), UseForwarded: cfg.UsesForwarded(), Now: time.Now, Log: s.o.Log,
		LoginLimits: idp.LoginLimits{
			PerAccount: i.LoginLimits.PerAccount.Rate,
			PerAddress: i.LoginLimits.PerAddress.Rate,
		},
	})
	if err != nil {
		return err
	}
	s.AddTask(s.idp.Run)
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
	if err := s.openAudit(cfg); err != nil {
		return err
	}
	o := gateway.Options{
		Current:      func() *gateway.Generation { return s.current.Load().Gateway },
		AssertionKey: s.assertionKey, AssertionKeys: s.assertionKeys.bytes, Revocations: s.stores.List, Covers: s.source.CanCoalesce,
		Limits: s.limits, Observe: s.observe, Log: s.o.Log,
	}
	if s.audit != nil {
		o.Audit = s.audit
	}
	if s.gateway, err = gateway.New(o); err != nil {
		return err
	}
	s.onClose(func() error { s.gateway.Close(); return nil })
	return s.openEdge(cfg)
}

// openEdge makes what takes connections.
func (s *Server) openEdge(cfg *config.Config) error {
	tickets, err := s.sharedTickets(cfg)
	if err != nil {
		return err
	}
	s.edge, err = edge.New(edge.Options{
		Handler: s.gateway, HTTPS: s.listeners.https, HTTP: s.listeners.http, Source: s.source,
		TrustedProxies: generation.Prefixes(cfg.TrustedProxies), PublicPort: s.builder.PublicPort, HSTS: s.o.HSTS, Tickets: tickets, Log: s.o.Log,
		HostTLS:    func(serverName string) *edge.HostTLS { return s.current.Load().TLS.Lookup(serverName) },
		ServedHost: func(host string) bool { return s.current.Load().Gateway.Serves(host) },
		Limits: edge.Limits{
			HeaderBytes: int(cfg.Limits.HeaderBytes), HeaderTime: cfg.Limits.HeaderTime.Std(), IdleTime: cfg.Limits.IdleTime.Std(),
			BodyMinRate: int64(cfg.Limits.BodyMinRate), Streams: cfg.Limits.Streams,
		},
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
	control.Handle(&mux, "reload", func(context.Context, control.Nothing) (Reloaded, error) { return s.Reload() })
	var admin *idp.Admin
	if s.idp != nil {
		admin = s.idp.Admin()
	}
	administration.Handle(&mux, admin)
	s.registerCertificateActions(&mux)
	if s.control, err = control.Listen(s.o.State.Dir, &mux, s.o.Log); err != nil {
		return err
	}
	s.onClose(s.control.Close)
	return nil
}

// AddUsers makes users where there are none at all yet.
func (s *Server) AddUsers(ctx context.Context, users []idp.NewUser) error {
	admin := s.idp.Admin()
	there, err := admin.Users(ctx)
	if err != nil || len(there) > 0 {
		return err
	}
	for _, u := range users {
		if _, err := admin.AddUser(ctx, u); err != nil {
			return fmt.Errorf("adding the user %s: %w", u.Name, err)
		}
	}
	return nil
}

// addWarningCheck adds a check that is reported but never affects readiness.
func (s *Server) addWarningCheck(name string, check func() error) {
	s.ready.warnings = append(s.ready.warnings, healthCheck{name, check})
	s.metrics.Ready(name, check)
}

// addReadyCheck adds a readiness check.
func (s *Server) addReadyCheck(name string, check func() error) {
	s.ready.checks = append(s.ready.checks, healthCheck{name, check})
	s.metrics.Ready(name, check)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/metrics"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/token"
)

// processOptions say which server to run.
type processOptions struct {
	load   func() (*config.Config, error) // reads the configuration, now and at every reload
	state  *state
	shadow string // the folder of policies that are evaluated beside the live ones; "" for none
	demo   bool   // the users are demo users
	hsts   bool
	stdout io.Writer
	log    *slog.Logger
}

// process is a running server: what `serve` and `dev` have in common. newProcess makes every part, so that whatever is
// wrong is known before anything is served; run starts them and takes them down in order.
type process struct {
	processOptions
	stores       *stores
	idp          *idp.IDP         // nil in a gateway alone
	gateway      *gateway.Gateway // nil in an IdP alone
	edge         *edge.Server     // likewise
	source       edge.Source      // likewise
	certificates *edge.Files      // nil unless the certificate comes from files
	acme         *acme.Manager    // nil unless it comes from an authority
	caPath       string           // of the local CA
	key          *token.PrivateKey
	keys         *assertionKeys
	audit        *audit.Log // nil without one
	limits       *limits.Limiter
	metrics      *metrics.Metrics
	started      time.Time
	ready        readiness
	listeners    *listeners
	servers      []plainServer
	control      *control.Server
	builder      builder
	tasks        []func(context.Context) error
	closers      []func() error // called last to first

	group      *errgroup.Group // the goroutines that run started
	background context.Context // they end with it

	current   atomic.Pointer[generation]
	reloading sync.Mutex // one reload at a time; whoever holds it may replace current
}

// also has run start f, and end with it when it fails. f ends with its context.
func (p *process) also(f func(context.Context) error) { p.tasks = append(p.tasks, f) }

// config is the configuration of the current generation.
func (p *process) config() *config.Config { return p.current.Load().cfg }

// close gives up whatever was opened.
func (p *process) close() error {
	var err error
	for _, f := range slices.Backward(p.closers) {
		err = errors.Join(err, f())
	}
	p.closers = nil
	return err
}

// newProcess makes every part of the server.
func newProcess(ctx context.Context, o processOptions) (*process, error) {
	p := &process{processOptions: o, metrics: metrics.New(), started: time.Now()}
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *process) open(ctx context.Context) error {
	cfg, err := p.load()
	if err != nil {
		return err
	}
	// What an earlier process said of itself holds no longer.
	if err := os.Remove(p.state.path(addressesFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, step := range []func(context.Context, *config.Config) error{
		p.openListeners, p.openStores, p.openIDP, p.openGateway, p.openControl,
	} {
		if err := step(ctx, cfg); err != nil {
			return err
		}
	}
	p.openServers()
	p.instrument()
	p.metrics.Loaded(time.Now())
	path, err := filepath.Abs(cfg.Path)
	if err != nil {
		return err
	}
	return p.state.write(configFile, []byte(path+"\n"))
}

func (p *process) onClose(f func() error) { p.closers = append(p.closers, f) }

func (p *process) openListeners(ctx context.Context, cfg *config.Config) (err error) {
	if p.listeners, err = listen(ctx, cfg); err != nil {
		return err
	}
	p.onClose(p.listeners.close)
	p.builder = builder{publicPort: publicPort(cfg, port(p.listeners.https)), shadow: p.shadow, log: p.log}
	return nil
}

func (p *process) openStores(ctx context.Context, cfg *config.Config) (err error) {
	if p.stores, err = openStores(ctx, cfg, p.state, storeOptions{demo: p.demo, log: p.log}); err != nil {
		return err
	}
	p.onClose(p.stores.close)
	p.also(p.stores.list.Run)
	return nil
}

func (p *process) openIDP(ctx context.Context, cfg *config.Config) error {
	if cfg.IDP == nil {
		return nil
	}
	seal, err := sealKey(cfg, p.state)
	if err != nil {
		return err
	}
	i := cfg.IDP
	var proxies []config.Network // in one process the gateway says who asks
	if !cfg.Gateway() {
		proxies = cfg.TrustedProxies
	}
	p.idp, err = idp.New(ctx, idp.Options{
		DB: p.stores.db, Revocations: p.stores.list, SealKey: seal,
		Domain: cfg.Domain, LoginHost: cfg.Login.Host, PublicPort: p.builder.publicPort,
		CookieName: cfg.Tokens.Cookie, Audience: cfg.Tokens.Audience,
		AccessTTL: i.AccessTokenTTL.Std(), SessionIdle: i.SessionIdle.Std(), SessionMax: i.SessionMax.Std(),
		ReturnHosts: i.ReturnHosts, Home: i.Home, TrustedProxies: prefixes(proxies), Now: time.Now, Log: p.log,
		LoginLimits: idp.LoginLimits{
			PerAccount: i.LoginLimits.PerAccount.Rate,
			PerAddress: i.LoginLimits.PerAddress.Rate,
		},
	})
	if err != nil {
		return err
	}
	p.also(p.idp.Run)
	return nil
}

// openGateway makes the gateway and its first generation; in an IdP alone, only the generation.
func (p *process) openGateway(ctx context.Context, cfg *config.Config) (err error) {
	p.builder.revoked = p.stores.revoked
	if p.idp != nil {
		p.builder.ownKeys, p.builder.loginHandler = p.idp.Keys(), p.idp
	}
	if !cfg.Gateway() {
		p.current.Store(&generation{cfg: cfg, loaded: time.Now()})
		return nil
	}
	if p.key, err = assertionKey(p.state); err != nil {
		return err
	}
	p.shareKey()
	if err := p.openCertificates(ctx, cfg); err != nil {
		return err
	}
	if err := p.openLimits(cfg); err != nil {
		return err
	}
	if err := p.openAudit(cfg); err != nil {
		return err
	}
	o := gateway.Options{
		AssertionKey: p.key, AssertionKeys: p.keys.bytes, Revocations: p.stores.list, Covers: p.source.SameCertificate,
		Limits: p.limits, Observe: p.observe, Log: p.log,
	}
	if p.audit != nil {
		o.Audit = p.audit
	}
	if p.gateway, err = gateway.New(o); err != nil {
		return err
	}
	p.onClose(func() error { p.gateway.Close(); return nil })
	first, err := p.builder.build(cfg, nil)
	if err != nil {
		return err
	}
	p.current.Store(first)
	if err := p.returnTo(first); err != nil {
		return err
	}
	tickets, err := p.sharedTickets(cfg)
	if err != nil {
		return err
	}
	p.edge, err = edge.New(edge.Options{
		Handler: p.gateway, HTTPS: p.listeners.https, HTTP: p.listeners.http, Source: p.source,
		TrustedProxies: prefixes(cfg.TrustedProxies), PublicPort: p.builder.publicPort, HSTS: p.hsts, Tickets: tickets, Log: p.log,
		HostTLS:    func(serverName string) *edge.HostTLS { return p.current.Load().tls.of(serverName) },
		ServedHost: func(host string) bool { return p.current.Load().gateway.Serves(host) },
		Limits: edge.Limits{
			HeaderBytes: int(cfg.Limits.HeaderBytes), HeaderTime: cfg.Limits.HeaderTime.Std(), IdleTime: cfg.Limits.IdleTime.Std(),
			BodyMinRate: int64(cfg.Limits.BodyMinRate), Streams: cfg.Limits.Streams,
		},
	})
	if err == nil {
		p.also(p.edge.RotateTickets)
	}
	return err
}

// openLimits makes what counts requests; in a fleet it tells the other gateways.
func (p *process) openLimits(cfg *config.Config) (err error) {
	o := limits.Options{Secret: []byte(cfg.Secret), Log: p.log}
	if redis := p.stores.redis; redis != nil {
		o.Shared = limits.NewRedis(redis.Client())
	}
	if p.limits, err = limits.New(o); err != nil {
		return err
	}
	p.also(p.limits.Run)
	return nil
}

// shareKey tells the other gateways of a fleet our key for assertions, and learns theirs.
func (p *process) shareKey() {
	p.keys = newAssertionKeys(p.key.Public())
	if redis := p.stores.redis; redis != nil {
		p.also(func(ctx context.Context) error { return p.keys.publish(ctx, redis, p.log) })
		p.also(func(ctx context.Context) error { return p.keys.follow(ctx, redis, p.log) })
		p.needs("assertion_key", p.keys.check)
	}
}

// openControl opens the control socket.
func (p *process) openControl(context.Context, *config.Config) (err error) {
	var mux control.Mux
	control.Handle(&mux, "reload", p.reload)
	var admin *idp.Admin
	if p.idp != nil {
		admin = p.idp.Admin()
	}
	handleAdministration(&mux, admin)
	p.handleCertificates(&mux)
	if p.control, err = control.Listen(p.state.dir, &mux, p.log); err != nil {
		return err
	}
	p.onClose(p.control.Close)
	return nil
}

// addUsers makes users where there are none at all yet.
func (p *process) addUsers(ctx context.Context, users []idp.NewUser) error {
	admin := p.idp.Admin()
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

// worries adds something that never keeps the process from being ready, and shows beside it.
func (p *process) worries(name string, check func() error) {
	p.ready.worries = append(p.ready.worries, need{name, check})
	p.metrics.Ready(name, check)
}

// needs adds something without which the process is not ready.
func (p *process) needs(name string, check func() error) {
	p.ready.needs = append(p.ready.needs, need{name, check})
	p.metrics.Ready(name, check)
}

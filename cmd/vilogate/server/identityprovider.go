package server

import (
	"cmp"
	"context"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/stores"
	"github.com/viloforge/vilogate/idp"
)

// newIDP makes the identity provider of a configuration. It may open the database and make the first key, which change
// nothing for anybody.
func (s *Server) newIDP(ctx context.Context, cfg *config.Config) (*idp.IDP, error) {
	seal, err := stores.SealKey(cfg, s.o.State)
	if err != nil {
		return nil, err
	}
	db, err := s.stores.Database(ctx)
	if err != nil {
		return nil, err
	}
	i := cfg.IDP
	var log idp.Audit
	if s.audit != nil {
		log = s.audit
	}
	var proxies []config.Network // in one process the gateway says who asks
	if !cfg.Gateway() {
		proxies = cfg.TrustedProxies
	}
	return idp.New(ctx, idp.Options{
		DB: db, Revocations: s.stores.List, SealKey: seal,
		Domain: cfg.Domain, LoginHost: cfg.Login.Host, PublicPort: s.builder.PublicPort,
		CookieName: cfg.Tokens.Cookie, Audience: cfg.Tokens.Audience,
		AccessTTL: i.AccessTokenTTL.Std(), SessionIdle: i.SessionIdle.Std(), SessionMax: i.SessionMax.Std(),
		RenewalGrace: i.RenewalGrace.Std(), RenewalMax: cmp.Or(i.RenewalMax, i.SessionIdle).Std(),
		RedirectPolicy: func() *idp.RedirectPolicy { return s.current.Load().Returns },
		ClearSiteData:  cfg.Logout.Header(), TrustedProxies: generation.Prefixes(proxies), ClientIPHeaders: generation.ClientIPHeaders(cfg), UseForwarded: cfg.UsesForwarded(), Now: time.Now, Log: s.o.Log, Audit: log,
		LoginLimits: idp.LoginLimits{
			PerAccount: i.LoginLimits.PerAccount.Rate,
			PerAddress: i.LoginLimits.PerAddress.Rate,
			Successes:  i.LoginLimits.Successes.Rate,
		},
	})
}

func (s *Server) openIDP(ctx context.Context, cfg *config.Config) error {
	if cfg.IDP == nil {
		return nil
	}
	p, err := s.newIDP(ctx, cfg)
	if err != nil {
		return err
	}
	s.idp.Store(p)
	s.AddTask(p.Run)
	return nil
}

// admin administers the users of this process's identity provider, or those of the one that is to come to this process. Where
// the identity provider is another process, they are there.
func (s *Server) admin(ctx context.Context) (*idp.Admin, error) {
	if p := s.idp.Load(); p != nil {
		return p.Admin(), nil
	}
	return administration.WithoutIDP(ctx, s.Config(), s.stores)
}

// beginIDP starts the identity provider that nothing is sent to before its generation is in force. It is the last that can fail.
func (s *Server) beginIDP(cfg *config.Config) error {
	p, err := s.newIDP(s.background, cfg)
	if err != nil {
		return err
	}
	s.idp.Store(p)
	s.group.Go(func() error { return ignoreCanceled(s.background, p.Run(s.background)) })
	return nil
}

package server

import (
	"context"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// Reloaded is what a reload changed, a line each.
type Reloaded struct {
	Changes []string `json:"changes"`
}

// Reload reads everything again and replaces the generation, or changes nothing and says why. Whatever can fail does so
// before the first change.
func (s *Server) Reload() (answer Reloaded, err error) {
	s.replacing.Lock()
	defer s.replacing.Unlock()
	s.notifySystemd(s.o.Notify.Reloading)
	defer func() {
		s.metrics.ObserveReload(err, time.Now())
		s.notifyReady()
	}()
	before := s.current.Load()
	cfg, err := s.o.Load()
	if err != nil {
		return answer, err
	}
	if err := config.CheckReload(before.Config, cfg); err != nil {
		return answer, err
	}
	next, err := s.builder.Build(cfg, before)
	if err != nil {
		return answer, err
	}
	answer.Changes = next.Changes(before)
	if config.BeginsIDP(before.Config, cfg) {
		if err := s.beginIDP(cfg); err != nil {
			return answer, config.Placed(cfg.Places.Of("idp"), err)
		}
	}
	s.commit(next)
	if !config.Equal(before.Config.Tokens.Issuers, cfg.Tokens.Issuers) {
		s.logKeyWarnings(cfg)
	}
	if next.Files != nil && !next.Files.Same(before.Files) {
		s.logCertificateWarnings()
	}
	return answer, nil
}

// ReloadAndLog reloads where nobody waits for the answer.
func (s *Server) ReloadAndLog() {
	answer, err := s.Reload()
	switch {
	case err != nil:
		s.o.Log.Error("not reloaded, nothing has changed", "error", err)
	case len(answer.Changes) > 0:
		s.o.Log.Info("reloaded", "changes", strings.Join(answer.Changes, "; "))
	}
}

// logKeyWarnings logs which keys of other issuers that the configuration has are not used.
func (s *Server) logKeyWarnings(cfg *config.Config) {
	for _, w := range cfg.KeyWarnings() {
		s.o.Log.Warn("a key of an issuer is not used", "error", w)
	}
}

// commit makes gen the current generation: what it needs is started, a single store puts all of it in force, and what only
// the one before needed ends. Nothing here can fail.
func (s *Server) commit(gen *generation.Generation) {
	needed := map[*jwks.Remote]bool{}
	for _, remote := range gen.Remotes {
		needed[remote] = true
		if s.fetching[remote] == nil {
			ctx, stop := context.WithCancel(s.background)
			s.fetching[remote] = stop
			s.group.Go(func() error { return ignoreCanceled(ctx, remote.Run(ctx)) })
		}
	}
	if s.gateway != nil {
		s.gateway.Prepare(gen.Gateway)
	}
	s.current.Store(gen)
	if s.gateway != nil {
		s.gateway.Retire(gen.Gateway)
	}
	for remote, stop := range s.fetching {
		if !needed[remote] {
			stop()
			delete(s.fetching, remote)
		}
	}
}

// renewFiles puts the certificates' files in force as they are now, and the rest of the generation stays. What cannot be
// read is logged, and the old stays too.
func (s *Server) renewFiles() {
	s.replacing.Lock()
	defer s.replacing.Unlock()
	before := s.current.Load()
	files, err := edge.OpenFiles(generation.CertificatePairs(before.Config))
	switch {
	case err != nil:
		s.o.Log.Error("the certificates were not reloaded; the old ones stay", "error", err)
	case !files.Same(before.Files):
		s.current.Store(before.WithFiles(files))
		first := files.Leaves()[0]
		s.o.Log.Info("new certificates are in force", "names", first.DNSNames, "not_after", first.NotAfter)
		s.logCertificateWarnings()
	}
}

// logCertificateWarnings logs which certificates from files clients refuse, or soon will.
func (s *Server) logCertificateWarnings() {
	for _, w := range s.current.Load().CertificateWarnings(time.Now()) {
		s.o.Log.Warn("certificate from a file", "error", w)
	}
}

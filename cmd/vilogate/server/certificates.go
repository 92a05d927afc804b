package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/stores"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/edge/certstore"
	"github.com/viloforge/vilogate/idp/revocation"
)

// openCertificates opens the source of certificates: ACME, files, or the local CA.
func (s *Server) openCertificates(ctx context.Context, cfg *config.Config) error {
	switch cfg.Certificates.Source {
	case "cloudflare":
		return s.openACME(ctx, cfg)
	case "local":
		return s.openLocalCA(ctx, cfg)
	}
	s.source = currentFiles{s}
	s.AddTask(func(ctx context.Context) error {
		return edge.WatchFiles(ctx, generation.CertificatePairs(cfg), s.o.Log, s.renewFiles)
	})
	s.AddTask(func(ctx context.Context) error { return daily(ctx, s.logCertificateWarnings) })
	return nil
}

// daily calls f now, and again every day until ctx ends.
func daily(ctx context.Context, f func()) error {
	for {
		f()
		if !wait(ctx, 24*time.Hour) {
			return nil
		}
	}
}

// certificateValidity is the warning of readiness that says the same: /readyz stays ready.
func (s *Server) certificateValidity(now time.Time) error {
	warnings := s.current.Load().CertificateWarnings(now)
	said := make([]string, len(warnings))
	for i, w := range warnings {
		said[i] = w.Msg
	}
	if len(said) == 0 {
		return nil
	}
	return errors.New(strings.Join(said, "; "))
}

// currentFiles is the source of certificates from files: those of the current generation.
type currentFiles struct{ s *Server }

func (c currentFiles) files() *edge.Files { return c.s.current.Load().Files }

func (c currentFiles) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.files().GetCertificate(hello)
}
func (c currentFiles) Covers(host string) bool { return c.files().Covers(host) }
func (c currentFiles) CanCoalesce(serverName, host string) bool {
	return c.files().CanCoalesce(serverName, host)
}
func (c currentFiles) Leaves() []*x509.Certificate { return c.files().Leaves() }
func (c currentFiles) Ready() error                { return c.files().Ready() }
func (c currentFiles) NotAfter() time.Time         { return c.files().NotAfter() }

// openACME obtains and renews certificates by ACME (RFC 8555).
func (s *Server) openACME(ctx context.Context, cfg *config.Config) error {
	managed := &edge.Managed{}
	options, err := acmeOptions(cfg, s.current.Load().Roots, s.stores.Redis, s.o.State, s.o.Log)
	if err != nil {
		return err
	}
	options.Serve = managed.Replace
	if s.acme, err = acme.New(ctx, options); err != nil {
		return config.Placed(cfg.Places.Of("certificates"), err)
	}
	s.source = managed
	s.AddTask(s.acme.Run)
	return nil
}

// openLocalCA takes the CA of the state folder; in dev, a certificate that `vilogate cert dev` obtained comes first.
func (s *Server) openLocalCA(ctx context.Context, cfg *config.Config) error {
	if s.o.Demo {
		obtained, err := storedDevCertificates(ctx, s.o.State, cfg, time.Now())
		if err != nil {
			s.o.Log.Warn("stored dev certificate unusable, falling back to the local CA", "error", err)
		}
		if obtained != nil {
			s.source = obtained
			return nil
		}
	}
	ca, err := edge.OpenLocalCA(s.o.State.Dir, cfg.Domain, cfg.Certificates.Names, time.Now)
	if err != nil {
		return err
	}
	s.source, s.caPath = ca, ca.Path()
	s.AddTask(ca.Run)
	return nil
}

// storedDevCertificates are the certificates for the names that `vilogate cert dev` left in the state folder; nil where there are
// none, or not for all names, or their time is over.
func storedDevCertificates(ctx context.Context, st *state.Folder, cfg *config.Config, now time.Time) (edge.Source, error) {
	files, err := certstore.OpenFiles(st.Path(state.Certificates))
	if err != nil {
		return nil, err
	}
	all := acme.Stored(ctx, files, cfg.Certificates.Names, now)
	if len(all) == 0 {
		return nil, nil
	}
	managed := &edge.Managed{}
	managed.Replace(all)
	return managed, nil
}

// acmeOptions are the options of the ACME manager of a configuration, all but Serve.
func acmeOptions(cfg *config.Config, roots *x509.CertPool, redis *revocation.Redis, st *state.Folder, log *slog.Logger) (acme.Options, error) {
	c := cfg.Certificates
	o := acme.Options{
		Names: c.Names, Directory: c.CA, Email: c.Email, APIToken: c.APIToken, APIBase: c.APIBase,
		ChallengeDomain: c.ChallengeDomain, Resolvers: c.DNS.Resolvers, PropagationTimeout: c.DNS.PropagationTimeout.Std(), Roots: roots, Log: log,
	}
	if c.EAB != nil {
		o.EAB = &acme.EAB{KeyID: c.EAB.KeyID, MACKey: c.EAB.MACKey}
	}
	files, err := certstore.OpenFiles(st.Path(state.Certificates))
	if err != nil {
		return o, err
	}
	o.Storage = files
	if redis != nil {
		shared, sealer, err := sharedStore(cfg, redis)
		if err != nil {
			return o, err
		}
		o.Storage, o.Cache = certstore.Seal(shared, sealer), certstore.Seal(files, sealer)
	}
	return o, nil
}

// sharedStore is what a fleet keeps in Redis, and what seals it.
func sharedStore(cfg *config.Config, redis *revocation.Redis) (*certstore.Redis, *certstore.Sealer, error) {
	sealer, err := certstore.NewSealer([]byte(cfg.Secret))
	if err != nil {
		return nil, nil, config.Placed(cfg.Places.Of("secret"), err)
	}
	return certstore.NewRedis(redis.Client(), redis.String()), sealer, nil
}

// sharedTickets is the store of TLS session ticket keys that a fleet shares; nil without a fleet.
func (s *Server) sharedTickets(cfg *config.Config) (edge.TicketStore, error) {
	if s.stores.Redis == nil {
		return nil, nil
	}
	shared, sealer, err := sharedStore(cfg, s.stores.Redis)
	if err != nil {
		return nil, err
	}
	return certstore.NewTickets(shared, sealer), nil
}

// OpenManager is who obtains the certificates of a state folder whose server does not run, and what gives up what it took.
func OpenManager(ctx context.Context, cfg *config.Config, st *state.Folder) (m *acme.Manager, closeAll func() error, err error) {
	var redis *revocation.Redis
	closeAll = func() error { return nil }
	log := slog.New(slog.DiscardHandler) // what goes wrong is the command's own answer
	if cfg.Redis != nil {
		if redis, err = stores.OpenRedis(cfg, log); err != nil {
			return nil, nil, err
		}
		closeAll = redis.Close
	}
	roots, err := generation.AuthorityRoots(cfg.Certificates.CARoots)
	if err != nil {
		return nil, nil, errors.Join(config.Placed(cfg.Certificates.Places.Of("ca_roots"), err), closeAll())
	}
	options, err := acmeOptions(cfg, roots, redis, st, log)
	if err != nil {
		return nil, nil, errors.Join(err, closeAll())
	}
	options.Serve = new(edge.Managed).Replace
	if m, err = acme.New(ctx, options); err != nil {
		return nil, nil, errors.Join(config.Placed(cfg.Places.Of("certificates"), err), closeAll())
	}
	return m, closeAll, nil
}

// certificateStatus is the status of the certificates, whatever their source.
func (s *Server) certificateStatus() []acme.Status {
	if s.acme != nil {
		return s.acme.Status()
	}
	return staticCertificateStatus(s.source, s.Config(), s.caPath)
}

// staticCertificateStatus is the status of certificates that do not come from ACME.
func staticCertificateStatus(source edge.Source, cfg *config.Config, caPath string) []acme.Status {
	list := []acme.Status{}
	for i, leaf := range source.Leaves() {
		s := acme.Status{
			Name: leaf.DNSNames[0], Names: leaf.DNSNames, Issuer: leaf.Issuer.String(), Serial: fmt.Sprintf("%x", leaf.SerialNumber),
			NotBefore: &leaf.NotBefore, NotAfter: &leaf.NotAfter, Stored: "memory; signed by the local CA, " + caPath,
		}
		switch files := cfg.Certificates.Files; {
		case cfg.Certificates.Source == "files" && i < len(files):
			s.Stored = files[i].Certificate
		case caPath == "":
			s.Stored = state.Certificates + " of the state folder"
		}
		list = append(list, s)
	}
	return list
}

// renewCertificates obtains certificates now.
func (s *Server) renewCertificates(ctx context.Context, name string) error {
	if s.acme == nil {
		return NotObtained(s.Config())
	}
	return s.acme.Renew(ctx, name)
}

// NotObtained says that there is nothing to obtain.
func NotObtained(cfg *config.Config) error {
	if cfg.Certificates == nil {
		return errors.New("this process is an identity provider alone, and has no certificates")
	}
	if cfg.Certificates.Source == "files" {
		return errors.New("the certificates come from files (certificates.source); replace the files, and they are read at once")
	}
	return errors.New("the certificate is the local CA's (certificates.source), and made anew at every start")
}

// registerCertificateMetrics registers the readiness checks and metrics of certificates.
func (s *Server) registerCertificateMetrics() {
	s.metrics.Gauge("certificate_earliest_expiry_timestamp_seconds", "When the first certificate expires (notAfter); 0 while there is none.", func() float64 {
		end := s.source.NotAfter()
		if end.IsZero() {
			return 0
		}
		return float64(end.Unix())
	})
	if s.acme == nil {
		s.addReadyCheck("certificate", s.source.Ready)
		if s.Config().Certificates.Source == "files" {
			s.addWarningCheck("certificate_validity", func() error { return s.certificateValidity(time.Now()) })
		}
		return
	}
	s.addReadyCheck("certificate", s.acme.Ready)
	s.addWarningCheck("certificate_renewal", s.acme.Overdue)
	for _, name := range s.Config().Certificates.Names {
		gauge := func(metric, help string, read func(acme.Status) float64) {
			s.metrics.LabelledGauge(metric, help, "name", name, func() float64 {
				for _, status := range s.acme.Status() {
					if status.Name == name {
						return read(status)
					}
				}
				return 0
			})
		}
		gauge("certificate_not_after_timestamp_seconds", "When the certificate expires (notAfter); 0 where there is none.", func(s acme.Status) float64 { return unixSeconds(s.NotAfter) })
		gauge("certificate_next_attempt_timestamp_seconds", "When the next renewal or first order is attempted.", func(s acme.Status) float64 { return unixSeconds(s.NextAttempt) })
		gauge("certificate_consecutive_failures", "Failed attempts to obtain or renew it, in a row.", func(s acme.Status) float64 { return float64(s.Failures) })
	}
}

func unixSeconds(t *time.Time) float64 {
	if t == nil {
		return 0
	}
	return float64(t.Unix())
}

// CertificateName is a name of a certificate on its way through the control socket.
type CertificateName struct {
	Name string `json:"name"`
}

// registerCertificateActions registers the actions on certificates.
func (s *Server) registerCertificateActions(m *control.Mux) {
	control.Handle(m, "cert/status", func(context.Context, control.Nothing) ([]acme.Status, error) {
		if s.source == nil {
			return nil, NotObtained(s.Config())
		}
		return s.certificateStatus(), nil
	})
	control.Handle(m, "cert/renew", administration.Recorded(s.audit, "cert.renew", administration.NoUser[CertificateName], func(ctx context.Context, in CertificateName) ([]acme.Status, error) {
		if err := s.renewCertificates(ctx, in.Name); err != nil {
			return nil, err
		}
		return s.certificateStatus(), nil
	}))
}

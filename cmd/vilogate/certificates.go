package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/edge/certstore"
)

// certificatesFolder is where certificates from an authority are, in the state folder: all of them without Redis, with it a
// sealed copy of what is served.
const certificatesFolder = "certificates"

// openCertificates finds the certificates, or somebody who obtains them.
func (p *process) openCertificates(ctx context.Context, cfg *config.Config) error {
	switch cfg.Certificates.Source {
	case "cloudflare":
		return p.openAuthority(ctx, cfg)
	case "local":
		return p.openLocal(ctx, cfg)
	}
	files, err := edge.OpenFiles(certificatePairs(cfg), p.log)
	if err != nil {
		return placedCertificates(cfg, err)
	}
	p.source, p.certificates = files, files
	p.also(files.Run)
	return nil
}

// openAuthority has certificates obtained and renewed.
func (p *process) openAuthority(ctx context.Context, cfg *config.Config) error {
	managed := &edge.Managed{}
	options, err := acmeOptions(cfg, p.stores, p.state, p.log)
	if err != nil {
		return err
	}
	options.Serve = managed.Replace
	if p.acme, err = acme.New(ctx, options); err != nil {
		return placed(cfg.Places.Of("certificates"), err)
	}
	p.source = managed
	p.also(p.acme.Run)
	return nil
}

// openLocal takes the CA of the state folder; in dev, a certificate that `vilogate cert dev` obtained comes first.
func (p *process) openLocal(ctx context.Context, cfg *config.Config) error {
	if p.demo {
		obtained, err := obtainedForDev(ctx, p.state, cfg, time.Now())
		if err != nil {
			p.log.Warn("the certificate that was obtained for dev cannot be used; the local CA's is", "error", err)
		}
		if obtained != nil {
			p.source = obtained
			return nil
		}
	}
	ca, err := edge.OpenLocalCA(p.state.dir, cfg.Domain, cfg.Certificates.Names, time.Now)
	if err != nil {
		return err
	}
	p.source, p.caPath = ca, ca.Path()
	p.also(ca.Run)
	return nil
}

// obtainedForDev are the certificates for the names that `vilogate cert dev` left in the state folder; nil where there are
// none, or not for all names, or their time is over.
func obtainedForDev(ctx context.Context, st *state, cfg *config.Config, now time.Time) (edge.Source, error) {
	files, err := certstore.OpenFiles(st.path(certificatesFolder))
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

// acmeOptions are those of somebody who obtains the certificates that a configuration names, all but Serve.
func acmeOptions(cfg *config.Config, s *stores, st *state, log *slog.Logger) (acme.Options, error) {
	c := cfg.Certificates
	o := acme.Options{
		Names: c.Names, Directory: c.CA, Email: c.Email, APIToken: c.APIToken, APIBase: c.APIBase,
		ChallengeDomain: c.ChallengeDomain, Resolvers: c.DNS.Resolvers, PropagationTimeout: c.DNS.PropagationTimeout.Std(), Log: log,
	}
	if c.EAB != nil {
		o.EAB = &acme.EAB{KeyID: c.EAB.KeyID, MACKey: c.EAB.MACKey}
	}
	var err error
	if o.Roots, err = authorityRoots(c.CARoots); err != nil {
		return o, placed(c.Places.Of("ca_roots"), err)
	}
	files, err := certstore.OpenFiles(st.path(certificatesFolder))
	if err != nil {
		return o, err
	}
	o.Storage = files
	if s != nil && s.redis != nil {
		shared, sealer, err := sharedStore(cfg, s)
		if err != nil {
			return o, err
		}
		o.Storage, o.Copy = certstore.Seal(shared, sealer), certstore.Seal(files, sealer)
	}
	return o, nil
}

// sharedStore is what a fleet keeps in Redis, and what seals it.
func sharedStore(cfg *config.Config, s *stores) (*certstore.Redis, *certstore.Sealer, error) {
	sealer, err := certstore.NewSealer([]byte(cfg.Secret))
	if err != nil {
		return nil, nil, placed(cfg.Places.Of("secret"), err)
	}
	return certstore.NewRedis(s.redis.Client(), s.redis.String()), sealer, nil
}

// sharedTickets are the keys of session tickets that a fleet shares; nil without a fleet.
func (p *process) sharedTickets(cfg *config.Config) (edge.TicketStore, error) {
	if p.stores.redis == nil {
		return nil, nil
	}
	shared, sealer, err := sharedStore(cfg, p.stores)
	if err != nil {
		return nil, err
	}
	return certstore.NewTickets(shared, sealer), nil
}

// authorityRoots reads the roots of a private authority; nil, which means the usual ones, where no file is named.
func authorityRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the authority's roots: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("the authority's roots: %s holds no certificate (PEM)", path)
	}
	return roots, nil
}

// certificateStatus tells how the certificates are, whatever their source.
func (p *process) certificateStatus() []acme.Status {
	if p.acme != nil {
		return p.acme.Status()
	}
	return statusOf(p.source, p.config(), p.caPath)
}

// statusOf tells how certificates are that nobody has to obtain.
func statusOf(source edge.Source, cfg *config.Config, caPath string) []acme.Status {
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
			s.Stored = certificatesFolder + " of the state folder"
		}
		list = append(list, s)
	}
	return list
}

// renewCertificates obtains certificates now.
func (p *process) renewCertificates(ctx context.Context, name string) error {
	if p.acme == nil {
		return errNotObtained(p.config())
	}
	return p.acme.Renew(ctx, name)
}

// errNotObtained says that there is nothing to obtain.
func errNotObtained(cfg *config.Config) error {
	if cfg.Certificates == nil {
		return errors.New("this process is an identity provider alone, and has no certificates")
	}
	if cfg.Certificates.Source == "files" {
		return errors.New("the certificates come from files (certificates.source); replace the files, and they are read at once")
	}
	return errors.New("the certificate is the local CA's (certificates.source), and made anew at every start")
}

// instrumentCertificates says what has to be there, and what /metrics tells of certificates.
func (p *process) instrumentCertificates() {
	p.metrics.Gauge("certificate_days_left", "Days until the first certificate ends; 0 while there is none.", func() float64 {
		end := p.source.NotAfter()
		if end.IsZero() {
			return 0
		}
		return time.Until(end).Hours() / 24
	})
	if p.acme == nil {
		p.needs("certificate", p.source.Ready)
		return
	}
	p.needs("certificate", p.acme.Ready)
	p.worries("certificate_renewal", p.acme.Trouble)
	for _, name := range p.config().Certificates.Names {
		gauge := func(metric, help string, read func(acme.Status) float64) {
			p.metrics.GaugeOf(metric, help, "name", name, func() float64 {
				for _, s := range p.acme.Status() {
					if s.Name == name {
						return read(s)
					}
				}
				return 0
			})
		}
		gauge("certificate_not_after_timestamp_seconds", "When the certificate ends; 0 where there is none.", func(s acme.Status) float64 { return timestamp(s.NotAfter) })
		gauge("certificate_next_attempt_timestamp_seconds", "When it is next renewed or, without one, obtained.", func(s acme.Status) float64 { return timestamp(s.NextAttempt) })
		gauge("certificate_failures", "Attempts to obtain it that failed, in a row.", func(s acme.Status) float64 { return float64(s.Failures) })
	}
}

func timestamp(t *time.Time) float64 {
	if t == nil {
		return 0
	}
	return float64(t.Unix())
}

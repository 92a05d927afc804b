package generation

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// certificates reads the certificates, their keys, and whom to trust as the authority.
func (b *Builder) certificates(gen *Generation) (err error) {
	c := gen.Config.Certificates
	if c == nil || gen.Config.Incomplete || b.NoSecrets {
		return nil
	}
	if pairs := CertificatePairs(gen.Config); len(pairs) > 0 {
		if gen.Files, err = edge.OpenFiles(pairs); err != nil {
			return certificatesErrorAt(gen.Config, err)
		}
	}
	gen.Roots, err = AuthorityRoots(c.CARoots)
	return config.Placed(c.Places.Of("ca_roots"), err)
}

// CertificatePairs are the files that the certificates are in, if they are in files.
func CertificatePairs(cfg *config.Config) []edge.KeyPair {
	var pairs []edge.KeyPair
	if cfg.Certificates != nil {
		for _, f := range cfg.Certificates.Files {
			pairs = append(pairs, edge.KeyPair{Certificate: f.Certificate, Key: f.Key})
		}
	}
	return pairs
}

// CertificateWarnings are the certificates from files that clients refuse at this time, or will in less than a week: nobody
// but whoever puts the files there renews them. They are served all the same.
func (gen *Generation) CertificateWarnings(now time.Time) (warnings strictyaml.Errors) {
	if gen.Files == nil {
		return nil
	}
	for i, leaf := range gen.Files.Leaves() { // in the order of the files
		if err := edge.CheckValidity(leaf, now); err != nil {
			files := gen.Config.Certificates.Files[i]
			warnings = append(warnings, &strictyaml.Error{Place: files.Places.Of("certificate"), Msg: files.Certificate + ": " + err.Error()})
		}
	}
	return warnings
}

// certificatesErrorAt is an error of opening the certificates, at the place of the first file that cannot be used.
func certificatesErrorAt(cfg *config.Config, err error) error {
	for i, pair := range CertificatePairs(cfg) {
		_, pairErr := edge.OpenFiles([]edge.KeyPair{pair})
		if pairErr == nil {
			continue
		}
		key := "certificate"
		var cause *fs.PathError
		if errors.As(pairErr, &cause) && cause.Path == pair.Key {
			key = "key"
		}
		return config.Placed(cfg.Certificates.Files[i].Places.Of(key), pairErr)
	}
	return config.Placed(cfg.Places.Of("certificates"), err)
}

// AuthorityRoots reads the roots of a private authority; nil, which means the usual ones, where no file is named.
func AuthorityRoots(path string) (*x509.CertPool, error) {
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

// Covers tells whether a certificate is for a host, as far as that is known. files may be nil.
func Covers(cfg *config.Config, files *edge.Files) func(host string) bool {
	switch {
	case files != nil:
		return func(host string) bool { return files.Covers(strings.Replace(host, "*", "any", 1)) }
	case cfg.Certificates == nil || cfg.Incomplete || cfg.Certificates.Source == "files":
		return func(string) bool { return true } // not known
	}
	return func(host string) bool { return coversHost(cfg.Certificates.Names, host) }
}

// coversHost reports whether a certificate for names is good for host; the wildcard host of a policy stands for any label.
func coversHost(names []string, host string) bool {
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range names {
		if name == host || name == "*."+parent {
			return true
		}
	}
	return false
}

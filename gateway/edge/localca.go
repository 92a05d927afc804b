package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// Lifetimes of what the local CA issues, and when a leaf is renewed.
const (
	caLifetime      = 10 * 365 * 24 * time.Hour
	leafLifetime    = 396 * 24 * time.Hour // with the backdate below the 397 days that browsers accept
	leafRenewBefore = 30 * 24 * time.Hour  // before its end
	backdate        = time.Hour            // for clocks that are behind
	renewCheck      = time.Hour
)

// LocalCA is a source for machines that are not public: a certificate authority
// of their own, which can only ever vouch for names under one domain, and which
// nothing trusts until somebody says so.
type LocalCA struct {
	certificates
	domain string
	names  []string
	path   string // of the CA's certificate
	ca     *x509.Certificate
	key    *ecdsa.PrivateKey
	now    func() time.Time
}

// OpenLocalCA opens the CA in dir (ca.pem and ca.key, of mode 0600), or makes
// one that is constrained to domain. The leaf, for names, is made anew at each
// start and lives in memory alone.
func OpenLocalCA(dir, domain string, names []string, now func() time.Time) (*LocalCA, error) {
	c := &LocalCA{domain: domain, names: names, path: filepath.Join(dir, "ca.pem"), now: now}
	if len(names) == 0 {
		return nil, errors.New("edge: the local CA is asked for no names")
	}
	for _, name := range names {
		if host := strings.TrimPrefix(name, "*."); host != domain && !strings.HasSuffix(host, "."+domain) {
			return nil, fmt.Errorf("edge: the local CA may not vouch for %q, which is not under %s", name, domain)
		}
	}
	err := c.load(filepath.Join(dir, "ca.key"))
	if errors.Is(err, fs.ErrNotExist) {
		err = c.create(filepath.Join(dir, "ca.key"))
	}
	if err != nil {
		return nil, fmt.Errorf("edge: the local CA in %s: %w", dir, err)
	}
	if err := c.renew(); err != nil {
		return nil, fmt.Errorf("edge: the local CA in %s: %w", dir, err)
	}
	return c, nil
}

// Path is where the CA's certificate is.
func (c *LocalCA) Path() string { return c.path }

// Run renews the leaf before it ends, until ctx does.
func (c *LocalCA) Run(ctx context.Context) error {
	ticker := time.NewTicker(renewCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := c.renewIfDue(); err != nil {
				return fmt.Errorf("edge: renewing the local certificate: %w", err)
			}
		}
	}
}

func (c *LocalCA) renewIfDue() error {
	if c.now().Before(c.NotAfter().Add(-leafRenewBefore)) {
		return nil
	}
	return c.renew()
}

func (c *LocalCA) load(keyPath string) error {
	pair, err := tls.LoadX509KeyPair(c.path, keyPath)
	if err != nil {
		return fmt.Errorf("%s with %s: %w", c.path, keyPath, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	switch {
	case !ok:
		return fmt.Errorf("%s is no ECDSA key", keyPath)
	case !pair.Leaf.IsCA:
		return fmt.Errorf("%s is no certificate of an authority", c.path)
	case len(pair.Leaf.PermittedDNSDomains) != 1 || pair.Leaf.PermittedDNSDomains[0] != c.domain:
		return fmt.Errorf("%s is for %v, not for %s; remove ca.pem and ca.key to have another made", c.path, pair.Leaf.PermittedDNSDomains, c.domain)
	case c.now().After(pair.Leaf.NotAfter):
		return fmt.Errorf("%s ended on %s; remove ca.pem and ca.key to have another made", c.path, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	info, err := os.Stat(keyPath)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s can be read by others (mode %04o); it must be 0600", keyPath, mode)
	}
	c.ca, c.key = pair.Leaf, key
	return nil
}

// CheckLocalCA makes sure that a certificate is one that [OpenLocalCA] makes: an
// authority that can vouch for names under one domain, which is not everybody's,
// and for nothing else.
func CheckLocalCA(c *x509.Certificate) error {
	domains := c.PermittedDNSDomains
	suffix := ""
	if len(domains) == 1 {
		suffix, _ = publicsuffix.PublicSuffix(domains[0])
	}
	excluded := len(c.ExcludedIPRanges)
	switch {
	case !c.IsCA || !c.BasicConstraintsValid || c.MaxPathLen != 0 || !c.MaxPathLenZero:
		return errors.New("it is no authority, or one that could make others")
	case len(domains) != 1 || !c.PermittedDNSDomainsCritical || suffix == domains[0]:
		return errors.New("it could vouch for names of everybody")
	case excluded != 2 || len(c.PermittedIPRanges)+len(c.PermittedEmailAddresses)+len(c.PermittedURIDomains) > 0:
		return errors.New("it could vouch for addresses")
	case len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || len(c.UnknownExtKeyUsage) > 0:
		return errors.New("it could vouch for other things than servers")
	case c.CheckSignatureFrom(c) != nil:
		return errors.New("it is not signed by itself")
	}
	return nil
}

// create makes the CA. The key is written before the certificate, so that an
// interrupted start leaves no CA without its key.
func (c *LocalCA) create(keyPath string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:                serial,
		Subject:                     pkix.Name{CommonName: "vilogate local CA for " + c.domain},
		NotBefore:                   c.now().Add(-backdate),
		NotAfter:                    c.now().Add(caLifetime),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{c.domain},
		// A constraint is of one kind of name only: without these, the CA could vouch for any address, and for other uses.
		ExcludedIPRanges: []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if c.ca, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	c.key = key
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(keyPath, "PRIVATE KEY", private, 0o600); err != nil {
		return err
	}
	return writePEM(c.path, "CERTIFICATE", der, 0o644)
}

// renew makes a new leaf, with a key of its own.
func (c *LocalCA) renew() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: c.names[0]},
		NotBefore:             c.now().Add(-backdate),
		NotAfter:              c.now().Add(leafLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              c.names,
	}
	if template.NotAfter.After(c.ca.NotAfter) {
		template.NotAfter = c.ca.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.ca, key.Public(), c.key)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	c.replace([]*tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}})
	return nil
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// writePEM writes a file whole or not at all.
func writePEM(path, kind string, der []byte, mode fs.FileMode) (err error) {
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	err = errors.Join(
		temporary.Chmod(mode),
		pem.Encode(temporary, &pem.Block{Type: kind, Bytes: der}),
		temporary.Sync(),
		temporary.Close(),
	)
	if err != nil {
		return err
	}
	return os.Rename(temporary.Name(), path)
}

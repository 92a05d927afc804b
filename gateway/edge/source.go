package edge

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"sync/atomic"
	"time"
)

// Source is where certificates come from. It answers from memory, and is safe
// for concurrent use.
type Source interface {
	// GetCertificate is for tls.Config.
	GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error)
	// Covers reports whether some certificate is for host.
	Covers(host string) bool
	// CanCoalesce reports whether the certificate that a handshake for serverName
	// was given covers host too (connection coalescing; RFC 9113, section 9.1.1).
	CanCoalesce(serverName, host string) bool
	// Leaves are the certificates in force, for who wants to know what is in them.
	Leaves() []*x509.Certificate
	// Ready is nil as soon as there is a certificate, else it says what is missing.
	Ready() error
	// NotAfter is when the first certificate ends; zero without any.
	NotAfter() time.Time
}

// errNoCertificate is what a handshake fails with when there is no certificate.
var errNoCertificate = errors.New("edge: no certificate is loaded")

// certificates is a set of certificates in force, replaced as a whole.
type certificates struct {
	current atomic.Pointer[[]*tls.Certificate]
}

func (c *certificates) all() []*tls.Certificate {
	if p := c.current.Load(); p != nil {
		return *p
	}
	return nil
}

func (c *certificates) replace(all []*tls.Certificate) { c.current.Store(&all) }

// selectFor is the certificate for a server name (SNI): the first that covers it,
// else the first, the default, as for clients that send no SNI.
func (c *certificates) selectFor(serverName string) *tls.Certificate {
	all := c.all()
	for _, certificate := range all {
		if covers(certificate.Leaf, serverName) {
			return certificate
		}
	}
	if len(all) > 0 {
		return all[0]
	}
	return nil
}

// GetCertificate implements Source.
func (c *certificates) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if certificate := c.selectFor(hello.ServerName); certificate != nil {
		return certificate, nil
	}
	return nil, errNoCertificate
}

// Covers implements Source.
func (c *certificates) Covers(host string) bool {
	for _, certificate := range c.all() {
		if covers(certificate.Leaf, host) {
			return true
		}
	}
	return false
}

// CanCoalesce implements Source.
func (c *certificates) CanCoalesce(serverName, host string) bool {
	certificate := c.selectFor(serverName)
	return certificate != nil && covers(certificate.Leaf, host)
}

// Leaves implements Source.
func (c *certificates) Leaves() []*x509.Certificate {
	all := c.all()
	leaves := make([]*x509.Certificate, len(all))
	for i, certificate := range all {
		leaves[i] = certificate.Leaf
	}
	return leaves
}

// Ready implements Source.
func (c *certificates) Ready() error {
	if len(c.all()) == 0 {
		return errNoCertificate
	}
	return nil
}

// NotAfter implements Source.
func (c *certificates) NotAfter() time.Time {
	var first time.Time
	for _, certificate := range c.all() {
		if end := certificate.Leaf.NotAfter; first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return first
}

// covers reports whether the certificate is for host, without an allocation: by
// its exact dNSName, or by a wildcard of one label (RFC 9525, section 6.3).
func covers(leaf *x509.Certificate, host string) bool {
	if host == "" {
		return false
	}
	for _, name := range leaf.DNSNames {
		if strings.EqualFold(name, host) {
			return true
		}
		if parent, ok := strings.CutPrefix(name, "*."); ok {
			if label, rest, found := strings.Cut(host, "."); found && label != "" && strings.EqualFold(rest, parent) {
				return true
			}
		}
	}
	return false
}

// Managed is a source whose certificates come from somebody who obtains them,
// through Replace. Until the first there is none, and handshakes fail.
type Managed struct{ certificates }

// Replace puts other certificates in force. The first is for clients that send no
// name.
func (m *Managed) Replace(all []*tls.Certificate) { m.replace(all) }

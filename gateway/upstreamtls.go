package gateway

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
)

// UpstreamTLS says how it is known who is at the https addresses of an upstream, and who asks there. What is a file's content is
// PEM.
type UpstreamTLS struct {
	// Roots are the authorities that are trusted, and no others. Optional: those of the system.
	Roots string
	// Name is the name in the certificate, which is asked for, too (SNI). Optional: the URL's host.
	Name string
	// Certificate, with what its authority has signed it by, and Key show who the gateway is. Optional: nothing does.
	Certificate, Key string
}

// tlsIdentity is an UpstreamTLS that was parsed.
type tlsIdentity struct {
	id           [sha256.Size]byte // of what it was parsed from
	name         string
	roots        *x509.CertPool
	certificates []tls.Certificate
}

// parse parses what stands in the files.
func (t *UpstreamTLS) parse() (*tlsIdentity, error) {
	parsed := &tlsIdentity{id: sha256.Sum256([]byte(strings.Join([]string{t.Roots, t.Certificate, t.Key}, "\x00"))), name: t.Name}
	if t.Roots != "" {
		parsed.roots = x509.NewCertPool()
		if !parsed.roots.AppendCertsFromPEM([]byte(t.Roots)) {
			return nil, errors.New("no certificate among the roots of TLS")
		}
	}
	if t.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(t.Certificate), []byte(t.Key))
		if err != nil {
			return nil, fmt.Errorf("the certificate of TLS: %w", err)
		}
		parsed.certificates = []tls.Certificate{pair}
	}
	return parsed, nil
}

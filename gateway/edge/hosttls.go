package edge

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
)

// HostTLS is what a host asks of its connections besides a certificate for it. A
// client certificate identifies nobody: it only admits the connection.
type HostTLS struct {
	minVersion uint16              // 0 for the least that any server takes
	roots      []*x509.Certificate // that certify clients; nil: none is asked for
	pool       *x509.CertPool      // of roots
	sum        [sha256.Size]byte   // of roots
}

// NewHostTLS takes the least version, as on the wire or 0 for the server's own,
// and the certificates, in PEM, of those who certify clients; nil for nobody.
func NewHostTLS(minVersion uint16, clientCA []byte) (*HostTLS, error) {
	h := &HostTLS{}
	if minVersion > tls.VersionTLS12 { // which every server asks for
		h.minVersion = minVersion
	}
	if clientCA == nil {
		return h, nil
	}
	hash := sha256.New()
	h.pool = x509.NewCertPool()
	for rest := clientCA; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %s; only certificates belong there", block.Type)
		}
		root, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			return nil, fmt.Errorf("a certificate in it cannot be read: %w", err)
		case !root.IsCA:
			return nil, fmt.Errorf("the certificate of %q in it is not one of a certification authority", root.Subject)
		}
		h.roots = append(h.roots, root)
		h.pool.AddCert(root)
		hash.Write(root.Raw)
	}
	if len(h.roots) == 0 {
		return nil, errors.New("it holds no certificate in PEM")
	}
	hash.Sum(h.sum[:0])
	return h, nil
}

// nothing reports whether the host asks for no more than every server does.
func (h *HostTLS) nothing() bool { return h == nil || h.minVersion == 0 && h.roots == nil }

// Same reports whether two hosts ask the same; nil asks for nothing.
func (h *HostTLS) Same(other *HostTLS) bool {
	if h.nothing() || other.nothing() {
		return h.nothing() && other.nothing()
	}
	return h.minVersion == other.minVersion && h.sum == other.sum
}

// Admits reports whether a connection is what the host asks for now, whatever it
// was asked for when it was made.
func (h *HostTLS) Admits(state *tls.ConnectionState) bool {
	switch {
	case h == nil:
		return true
	case state == nil || state.Version < h.minVersion:
		return false
	case h.roots == nil:
		return true
	}
	for _, chain := range state.VerifiedChains {
		if slices.ContainsFunc(h.roots, chain[len(chain)-1].Equal) {
			return true
		}
	}
	return false
}

// withHosts has the handshakes for hosts that ask for more than base do what they
// ask. Those have no session tickets: a session never goes on under other settings
// than it began with.
func withHosts(base *tls.Config, settings func(serverName string) *HostTLS) *tls.Config {
	config := base.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		host := settings(hello.ServerName)
		if host.nothing() {
			return nil, nil
		}
		own := base.Clone()
		own.SessionTicketsDisabled = true
		own.MinVersion = max(own.MinVersion, host.minVersion)
		if host.roots != nil {
			own.ClientAuth, own.ClientCAs = tls.RequireAndVerifyClientCert, host.pool
		}
		return own, nil
	}
	return config
}

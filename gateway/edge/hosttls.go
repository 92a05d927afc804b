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
	rootsHash  [sha256.Size]byte   // hash of roots
}

// NewHostTLS takes the least version, as on the wire or 0 for the server's own,
// and the certificates, in PEM, of those who certify clients; nil if anonymous.
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
	hash.Sum(h.rootsHash[:0])
	return h, nil
}

// isDefault reports whether the host asks for no more than every server does.
func (h *HostTLS) isDefault() bool { return h == nil || h.minVersion == 0 && h.roots == nil }

// Equal reports whether two hosts have the same settings; nil is the default.
func (h *HostTLS) Equal(other *HostTLS) bool {
	if h.isDefault() || other.isDefault() {
		return h.isDefault() && other.isDefault()
	}
	return h.minVersion == other.minVersion && h.rootsHash == other.rootsHash
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

// withHostTLS selects the settings of a host by SNI. Hosts with settings of their
// own have no session tickets: a session is never resumed under other settings
// than it began with.
func withHostTLS(base *tls.Config, settings func(serverName string) *HostTLS) *tls.Config {
	config := base.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		host := settings(hello.ServerName)
		if host.isDefault() {
			return nil, nil
		}
		hostConfig := base.Clone()
		hostConfig.SessionTicketsDisabled = true
		hostConfig.MinVersion = max(hostConfig.MinVersion, host.minVersion)
		if host.roots != nil {
			hostConfig.ClientAuth, hostConfig.ClientCAs = tls.RequireAndVerifyClientCert, host.pool
		}
		return hostConfig, nil
	}
	return config
}

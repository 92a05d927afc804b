package gateway

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"strings"
)

// maxClientCertificate is how long what backends are told of a client certificate is at most, in bytes; names beyond are left out.
const maxClientCertificate = 4 << 10

// clientCertificate is what backends are told of the client certificate that a connection was admitted by, in the words of
// X-Forwarded-Client-Cert as Envoy writes it: the SHA-256 of the certificate, its subject (RFC 4514), and its URIs and DNS names.
// "" where the host has asked for none.
func clientCertificate(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 {
		return ""
	}
	certificate := state.PeerCertificates[0]
	hash := sha256.Sum256(certificate.Raw)
	var value strings.Builder
	value.WriteString("Hash=" + hex.EncodeToString(hash[:]) + ";Subject=" + quoted(certificate.Subject.String()))
	add := func(key, name string) {
		if name = quoted(name); value.Len()+len(key)+len(name)+2 <= maxClientCertificate {
			value.WriteString(";" + key + "=" + name)
		}
	}
	for _, uri := range certificate.URIs {
		add("URI", uri.String())
	}
	for _, name := range certificate.DNSNames {
		add("DNS", name)
	}
	return value.String()
}

// quoted is a quoted string of printable ASCII; other bytes, and %, are percent-encoded.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(percentEncode(s)) + `"`
}

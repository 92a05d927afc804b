package config

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"

	"github.com/viloforge/vilogate/policies/request"
)

// checkBackends is about a backend's addresses together.
func (c *checker) checkBackends(u Upstream) {
	secured, prefix, first := false, "", true
	for _, address := range u.Addresses() {
		if address == "" {
			return // not known, or wrong by itself
		}
		secured = secured || address.isHTTPS()
		if other := address.prefix(); first {
			prefix, first = other, false
		} else if other != prefix {
			c.errorf(u.Places.Of("urls"), "the addresses of a backend have one path; give each path an upstream of its own")
			break
		}
	}
	t := u.TLS
	if t == nil {
		return
	}
	if !secured {
		c.errorf(u.Places.Of("tls"), "tls is for https addresses, and there is none")
	}
	if _, err := netip.ParseAddr(t.Name); t.Name != "" && err != nil && !request.IsHostName(t.Name) {
		c.errorf(t.Places.Of("name"), "tls.name is the name in the backend's certificate, in lower case, or an IP address")
	}
	if isSet(t.Places, "certificate") != isSet(t.Places, "key") {
		c.errorf(t.Places.Of(""), "tls.certificate and tls.key go together")
	}
}

// readBackendFiles reads the files of TLS to backends, and judges what is in them.
func (c *checker) readBackendFiles(from Sources) {
	for _, u := range c.Upstreams {
		t := u.TLS
		if t == nil {
			continue
		}
		if t.Roots != "" {
			data, ok := c.readFile(from, t.Places.Of("roots"), "tls.roots", t.Roots)
			if ok && !x509.NewCertPool().AppendCertsFromPEM(data) {
				c.errorf(t.Places.Of("roots"), "tls.roots: %s holds no certificate (PEM)", t.Roots)
			}
			t.RootsPEM = string(data)
		}
		if t.Certificate == "" || t.Key == "" {
			continue
		}
		certificate, hasCertificate := c.readFile(from, t.Places.Of("certificate"), "tls.certificate", t.Certificate)
		key, hasKey := c.readFile(from, t.Places.Of("key"), "tls.key", t.Key)
		if !hasCertificate || !hasKey {
			continue
		}
		if _, err := tls.X509KeyPair(certificate, key); err != nil {
			c.errorf(t.Places.Of("certificate"), "tls.certificate: %s and %s are no certificate and its key: %v", t.Certificate, t.Key, err)
		}
		t.CertificatePEM, t.KeyPEM = string(certificate), string(key)
	}
}

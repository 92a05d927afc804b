package config

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"slices"
	"time"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// checkBackends is about a backend's addresses together.
func (c *checker) checkBackends(u Upstream) {
	all := u.Addresses()
	secured, drained := false, true
	for _, address := range all {
		if address.Weight < 0 || address.Weight > 1000 {
			c.errorf(address.Places.Of("weight"), "weight must be from 0 to 1000, it is %d", address.Weight)
		}
		drained = drained && address.Weight == 0
	}
	if len(all) > 0 && drained {
		c.errorf(u.Places.Of("urls"), "all addresses have the weight 0, which drains them; at least one needs another")
	}
	if t := u.SlowStart; t < 0 || t > strictyaml.Duration(time.Hour) || t == 0 && u.isSet("slow_start") {
		c.errorf(u.Places.Of("slow_start"), "slow_start must be at most 1h, and is left out for none; it is %s", t)
	}
	for _, address := range all {
		if address.URL == "" {
			return // not known
		}
		secured = secured || address.URL.isHTTPS()
		if address.URL.isHTTP2() != all[0].URL.isHTTP2() {
			c.errorf(address.Places.Of(""), "the addresses of a backend all speak HTTP/2 (h2c://, h2://) or none does; give each protocol an upstream of its own")
			break
		}
		if address.URL.prefix() != all[0].URL.prefix() {
			c.errorf(address.Places.Of(""), "the addresses of a backend have one path; give each path an upstream of its own")
			break
		}
	}
	c.checkNames(u)
	t := u.TLS
	if t == nil {
		return
	}
	if !secured {
		c.errorf(u.Places.Of("tls"), "tls is for https and h2 addresses, and there is none")
	}
	if _, err := netip.ParseAddr(t.Name); t.Name != "" && err != nil && !request.IsHostName(t.Name) {
		c.errorf(t.Places.Of("name"), "tls.name is the name in the backend's certificate, in lower case, or an IP address")
	}
	if isSet(t.Places, "certificate") != isSet(t.Places, "key") {
		c.errorf(t.Places.Of(""), "tls.certificate and tls.key go together")
	}
}

// checkNames is about the names in a backend's addresses.
func (c *checker) checkNames(u Upstream) {
	if at, err := netip.ParseAddrPort(u.Resolver); u.Resolver != "" && (err != nil || at.Port() == 0) {
		c.errorf(u.Places.Of("resolver"), "resolver is the IP address of a DNS server with its port: 127.0.0.1:8600 or [::1]:53")
	}
	if u.isSet("resolver") && u.Resolve == 0 {
		c.errorf(u.Places.Of("resolver"), "resolver is who is asked for names again, which resolve: off turns off")
	}
	for _, key := range []string{"resolve", "resolver"} {
		if u.isSet(key) && !slices.ContainsFunc(u.Addresses(), func(b Backend) bool { return b.URL.hasName() }) {
			c.errorf(u.Places.Of(key), "%s is for names, and the addresses have none", key)
		}
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

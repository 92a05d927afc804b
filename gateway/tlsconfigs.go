package gateway

import (
	"cmp"
	"crypto/sha256"
	"crypto/tls"
	"net/url"
	"sync"
)

// tlsKey is what the configurations of TLS are told apart by.
type tlsKey struct {
	id   [sha256.Size]byte
	name string
	alpn string
}

// tlsConfigs are those of all upstreams. One that says the same in the next generation is the same: connections are kept
// and sessions resumed beyond a reload. Safe for concurrent use.
type tlsConfigs struct {
	mu    sync.Mutex
	known map[tlsKey]*tls.Config // guarded by mu
}

// config is how TLS is spoken at an address; nil for not at all.
func (c *tlsConfigs) config(identity *tlsIdentity, u *url.URL) *tls.Config {
	alpn := "http/1.1"
	switch u.Scheme {
	case "https":
	case "h2":
		alpn = "h2"
	default:
		return nil
	}
	key := tlsKey{identity.id, cmp.Or(identity.name, u.Hostname()), alpn}
	c.mu.Lock()
	defer c.mu.Unlock()
	config := c.known[key]
	if config == nil {
		config = &tls.Config{
			MinVersion: tls.VersionTLS12, ServerName: key.name, RootCAs: identity.roots, Certificates: identity.certificates,
			NextProtos: []string{key.alpn}, ClientSessionCache: tls.NewLRUClientSessionCache(0),
		}
		if c.known == nil {
			c.known = map[tlsKey]*tls.Config{}
		}
		c.known[key] = config
	}
	return config
}

// retire forgets those that gen does not need.
func (c *tlsConfigs) retire(gen *Generation) {
	needed := map[*tls.Config]bool{}
	endpointsOf(gen, func(at *endpoint) { needed[at.key.TLS] = true })
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, config := range c.known {
		if !needed[config] {
			delete(c.known, key)
		}
	}
}

package config

import "github.com/viloforge/vilogate/policies/strictyaml"

// ForwardAuth decides about requests that other proxies hold, by the policies of their hosts, as about requests of the gateway's own,
// and tells what to forward them with. What it asks of proxies, and how each is set up, stands in deploy/forward-auth.
type ForwardAuth struct {
	// Listen is where it is asked, in plain HTTP/1.1 or, with prior knowledge, HTTP/2 (gRPC): host:port or :port. Keep it to the
	// network of the proxies.
	Listen Address `yaml:"listen,required"`
	// TrustedProxies are the networks of those proxies. Who asks from elsewhere is refused, and from here believed: which request it
	// holds, and whose it is (X-Forwarded-For, or what client_address and client_ip_headers say, by way of trusted_proxies before it).
	TrustedProxies []Network `yaml:"trusted_proxies,required"`

	Places strictyaml.Places
}

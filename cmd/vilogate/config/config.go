// Package config is vilogate.yaml: the comments on [Config] are its reference.
//
// [Load] reads the file strictly, puts the environment and secret files into its strings, fills in the defaults, every
// one of which is safe in production, and refuses what cannot work together. Whatever is wrong is said with its file, line
// and column; a key that is documented and not supported yet is refused as such, never accepted and ignored. What ${…}
// stands for never appears in an error. Nothing here opens a database, a socket or a connection.
//
// It belongs to cmd/vilogate: the rooms below take their own options, and know nothing of files.
package config

import "github.com/viloforge/vilogate/policies/strictyaml"

// Config is the file. A gateway runs where Policies is given, an identity provider (IdP) where IDP is, both in one process
// where both are.
//
// In any string, ${NAME} is an environment variable, ${file:/path} the content of a file less one final line break, and
// $${ stands for ${ itself; what is missing or empty is an error. Durations are written with the units s, m, h and d,
// sizes with KiB and MiB. Relative paths are relative to the file.
//
// A running process takes over what changed when it is asked to reload, except where `reload:"restart"` marks a key and
// all below it (see [CheckReload]).
type Config struct {
	// Domain is the parent domain of the SSO cookie: hosts below it share one login. A public suffix is refused.
	Domain string `yaml:"domain,required" reload:"restart"`
	// Listen says where the process listens.
	Listen Listen `yaml:"listen" reload:"restart"`
	// AdminHosts are the names, without a port, by which /status and /metrics may be asked for on the admin listener, such as
	// the one that Prometheus knows this process by. IP addresses, localhost and the names below it always may, and no other
	// name: a page in a browser could point its own at the listener. /healthz, /readyz and the public keys answer any name.
	// Optional: none.
	AdminHosts []string `yaml:"admin_hosts" reload:"restart"`
	// PublicPort is the port that people see. Optional: the one of listen.https.
	PublicPort int `yaml:"public_port" reload:"restart"`
	// State is the folder of embedded stores, certificates, keys and control.sock, of mode 0700. Two processes need two.
	// Optional: /var/lib/vilogate.
	State string `yaml:"state" reload:"restart"`
	// Redis holds the revocation list of a fleet. Optional where gateway and IdP are one process: the embedded store.
	Redis *Redis `yaml:"redis" reload:"restart"`
	// Secret is what every process of a fleet shares, at least 32 bytes; each purpose derives its own key from it.
	// Required with Redis.
	Secret string `yaml:"secret" reload:"restart"`
	// TrustedProxies are the networks that are believed about who asks, in headers and by the PROXY protocol. Optional: none.
	TrustedProxies []Network `yaml:"trusted_proxies" reload:"restart"`
	// ClientAddress is the list in which they say who asks: "x-forwarded-for", or "forwarded" (RFC 7239).
	// Optional: x-forwarded-for.
	ClientAddress string `yaml:"client_address" reload:"restart"`
	// ClientIPHeaders are headers of one address each that count instead of a list, such as CF-Connecting-IP: the first that
	// a trusted proxy sends, and no other header, says who asks. One that is sent twice, or cannot be read, says that nobody
	// knows; where none is there, it is the proxy itself. Name only what the proxies write over whatever a client sent.
	// Optional: none, and none of those that are known passes.
	ClientIPHeaders []ClientIPHeader `yaml:"client_ip_headers" reload:"restart"`
	// ForwardAuth answers proxies that keep requests to themselves, and ask whether these may reach their backends: auth_request of
	// nginx, ForwardAuth of Traefik, forward_auth of Caddy, ext_authz of Envoy, HAProxy. Optional: nobody is answered.
	ForwardAuth *ForwardAuth `yaml:"forward_auth" reload:"restart"`
	// Drain says how the process ends.
	Drain Drain `yaml:"drain"`
	// Limits bound what one client may use.
	Limits Limits `yaml:"limits" reload:"restart"`
	// Certificates says where the TLS certificates come from. Required for a gateway.
	Certificates *Certificates `yaml:"certificates" reload:"restart"`
	// Tokens says which logins are believed.
	Tokens Tokens `yaml:"tokens"`
	// Login says where people are sent to sign in. Optional. A reload may replace `url` by our own IdP (IDP), and nothing else.
	Login *Login `yaml:"login" reload:"restart"`
	// Logout says what becomes of a browser that signs out.
	Logout Logout `yaml:"logout" reload:"restart"`
	// IDP runs our own identity provider in this process. Optional: this process is a gateway only. A reload may add it where
	// people signed in elsewhere (`login.url`) or nowhere, without `redis:`; what changes it otherwise takes a restart.
	IDP *IDP `yaml:"idp" reload:"restart"`
	// Revocation says how old the knowledge of revocations may be.
	Revocation Revocation `yaml:"revocation" reload:"restart"`
	// Audit is the log of decisions, sign-ins and administration, of a gateway and of an IdP. Optional: there is none.
	Audit *Audit `yaml:"audit" reload:"restart"`
	// Upstreams are the backends, by the names that policies call them.
	Upstreams map[string]Upstream `yaml:"upstreams"`
	// Policies is the folder of the policy files: every *.yaml below it, *_test.yaml apart. Optional: this process is an
	// IdP only.
	Policies string `yaml:"policies" reload:"restart"`

	// Path is the file that this was loaded from.
	Path string `yaml:"-"`
	// Incomplete says that values are missing which could not be known (Sources.NoSecrets).
	Incomplete bool `yaml:"-"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (c *Config) SetDefaults() {
	c.State = "/var/lib/vilogate"
	c.ClientAddress = "x-forwarded-for"
	c.Listen = Listen{HTTPS: ":443", HTTP: ":80", Admin: "127.0.0.1:9901"}
	c.Drain.SetDefaults()
	c.Limits.SetDefaults()
	c.Tokens.SetDefaults()
	c.Logout.SetDefaults()
	c.Revocation.SetDefaults()
}

// Gateway reports whether this process is a gateway.
func (c *Config) Gateway() bool { return c.isSet("policies") }

// KeepPost is login.keep_post, in bytes; 0 for none.
func (c *Config) KeepPost() int64 {
	var login Login
	if login.SetDefaults(); c.Login != nil {
		login = *c.Login
	}
	return int64(login.KeepPost)
}

// UsesForwarded reports whether Forwarded counts instead of X-Forwarded-For.
func (c *Config) UsesForwarded() bool { return c.ClientAddress == "forwarded" }

// UsesOwnIDP reports whether our own IdP is among the issuers: here, or in another process.
func (c *Config) UsesOwnIDP() bool {
	return c.IDP != nil || c.Login != nil && !c.Login.isSet("url")
}

// Listen are addresses, host:port or :port. A loopback address means 127.0.0.1 and ::1; port 0 picks one that is free.
type Listen struct {
	// HTTPS is where the gateway serves. Optional: ":443".
	HTTPS Address `yaml:"https"`
	// HTTP3 is where the gateway serves HTTP/3, over UDP. Clients are told of it by Alt-Svc in the answers of the other protocols.
	// Optional: "off".
	HTTP3 Address `yaml:"http3"`
	// HTTP answers with redirects to HTTPS and nothing else; "off" disables it. Optional: ":80".
	HTTP Address `yaml:"http"`
	// Admin serves health, readiness, metrics and keys, to be read only; "off" disables it. Optional: "127.0.0.1:9901".
	Admin Address `yaml:"admin"`

	Places strictyaml.Places
}

// Drain says how the process ends once it is asked to.
type Drain struct {
	// Delay is how long new connections are still accepted while /readyz already fails. Optional: 5s.
	Delay strictyaml.Duration `yaml:"delay"`
	// Timeout is how long requests under way may take to finish, and WebSockets, which are then closed with the code 1001. Optional: 30s.
	Timeout strictyaml.Duration `yaml:"timeout"`
}

// SetDefaults fills in what holds where the file says nothing.
func (d *Drain) SetDefaults() { *d = Drain{Delay: seconds(5), Timeout: seconds(30)} }

// Limits bound what one client may use.
type Limits struct {
	// HeaderBytes bounds the header of a request. Optional: 64KiB.
	HeaderBytes strictyaml.Size `yaml:"header_bytes"`
	// HeaderTime bounds the time in which it must arrive; over HTTP/3 that of the handshake alone. Optional: 10s.
	HeaderTime strictyaml.Duration `yaml:"header_time"`
	// IdleTime is how long a connection may stay without a request. Optional: 2m.
	IdleTime strictyaml.Duration `yaml:"idle_time"`
	// BodyMinRate is the slowest that an upload with a Content-Length may be; nothing limits its total time.
	// Optional: 1KiB/s; not of an IdP alone.
	BodyMinRate ByteRate `yaml:"body_min_rate"`
	// Streams is how many requests one HTTP/2 connection may have under way. Optional: 250; not of an IdP alone.
	Streams int `yaml:"streams"`
	// TCPKeepalive is how long a client's connection may be silent until TCP's own probes begin (SO_KEEPALIVE), from 1s to 1h, or "off"
	// for none: by them it is known that a client has gone, and firewalls do not forget a WebSocket. Optional: 15s; not of an IdP alone.
	TCPKeepalive Keepalive `yaml:"tcp_keepalive"`
	// ConnectionAuth is how many connections to upstreams may be one client's alone, on routes with connection_auth: allow;
	// beyond that such requests are 503, and so they are for one client address (of IPv6 a /64) that has a quarter of them, or one
	// where a quarter is less: an office behind one address needs four times what it opens. Optional: 1000; not of an IdP alone.
	ConnectionAuth int `yaml:"connection_auth"`
	// BufferMemory is how many bytes of bodies are held in memory in all (buffer, of an upstream), of which one client address (of
	// IPv6 a /64) has a quarter at most; beyond it bodies stream, and those that may not are 503. Optional: 64MiB; not of an IdP alone.
	BufferMemory strictyaml.Size `yaml:"buffer_memory"`
	// BufferDisk is how many bytes of bodies are on disk in all (buffer.disk, of an upstream), of which one client address (of IPv6
	// a /64) has a quarter at most. Optional: 1GiB; not of an IdP alone.
	BufferDisk strictyaml.Size `yaml:"buffer_disk"`
	// ClientRequests is how many requests of one client (a signed-in user, else an IPv4 address or an IPv6 /64) may be under way
	// at backends, WebSockets and other streams as long as they are open, and those that wait; beyond that they are 429. It is never
	// more than a quarter of what all may have by the files that the process may open (ulimit -n), beyond which they are 503. The
	// login host and the gateway's own paths count for neither. Optional: 500; not of an IdP alone.
	ClientRequests int `yaml:"client_requests"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (l *Limits) SetDefaults() {
	l.HeaderBytes, l.HeaderTime, l.IdleTime, l.BodyMinRate, l.Streams = 64<<10, seconds(10), seconds(120), 1<<10, 250
	l.TCPKeepalive = Keepalive(seconds(15))
	l.ConnectionAuth, l.BufferMemory, l.BufferDisk, l.ClientRequests = 1000, 64<<20, 1<<30, 500
}

// Revocation says how old the knowledge of revocations may be.
type Revocation struct {
	// MaxStaleness is the age from which requests that need a login are answered 503. Before that, from 2s on, the first of
	// them wait 250ms for news. Optional: 30s.
	MaxStaleness strictyaml.Duration `yaml:"max_staleness"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (r *Revocation) SetDefaults() { r.MaxStaleness = seconds(30) }

func (c *Config) isSet(key string) bool { return isSet(c.Places, key) }

func (l Listen) isSet(key string) bool { return isSet(l.Places, key) }

package config

import (
	"time"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Upstream is a backend, of HTTP/1.1 or HTTP/2, at one address or several. Of two that chance picks, by their weights, a
// request goes to the one with fewer in flight for its weight. An address that refuses a connection, does not accept it in
// time (1s; 5s where there is no other), or closes it before an answer begins is ejected for 1s, then 2s, 4s … up to 30s,
// until a request succeeds; where all are, each is tried in turn.
type Upstream struct {
	// URL is its address: http://host:port, https://host:port or unix:/path, with IPv6 addresses as [::1]. HTTP/2, which gRPC needs,
	// is spoken at h2c://host:port (prior knowledge), and in TLS at h2://host:port, where nothing else is; there are no WebSocket and no
	// connection_auth there. Behind host and port may
	// be a path, http://host:port/app, which is to be canonical: what is forwarded is that, and the path that a policy has decided
	// on (and strip_prefix left) behind it; so is the path of health checks. What the backend answers in Location and in the Path
	// of cookies stays as it is. URLs are its addresses, whose path, if they have one, is the same, each may be one with a weight:
	// { url: "http://host:port", weight: 3 }. One of the two is required.
	URL  BackendURL `yaml:"url"`
	URLs []Backend  `yaml:"urls"`
	// Resolve is for how long the names in the addresses are not looked up again at most, from 1s to 1h: it is done when the TTL of the
	// records ends, where that is sooner, but not within a second; what has no TTL, as a hosts file, is looked up every 10s. "ttl" is 1h:
	// by the TTL alone. Each address that a name has is one of the backend, with the weight of the name: one that is new begins with
	// SlowStart, and one that has gone has no new requests. An IPv4 beside an IPv6 address, alone, are one host's, and the one that
	// answers is used, as of localhost. While a name cannot be looked up its last addresses stay; one that never had any is 502. "off": a
	// name is one address, which is looked up for each connection. Optional: 10s, since a registry of containers may say a TTL beyond
	// their lives.
	Resolve Resolve `yaml:"resolve"`
	// Resolver is the DNS server that is asked for them, an IP address with its port, such as Consul's 127.0.0.1:8600. Optional: what
	// the system says, hosts files included.
	Resolver string `yaml:"resolver"`
	// TLS says how it is known who is at https and h2 addresses. An address whose certificate is not right (another name, expired, of an
	// unknown authority) is one that does not accept connections. Optional: the authorities of the system, and the URL's host.
	TLS *BackendTLS `yaml:"tls"`
	// Timeout is how long the response's header may take, and until then how long it may take nothing of an upload, except for
	// WebSocket and calls of gRPC, which have the time that their grpc-timeout says. Optional: 60s.
	Timeout strictyaml.Duration `yaml:"timeout"`
	// IdentityHeaders names the plain identity headers: "x-user", "remote-user" or "x-forwarded-user". Optional: x-user.
	IdentityHeaders string `yaml:"identity_headers"`
	// IdentityHeadersPass are identity headers of other products (X-WEBAUTH-USER and its like, listed in upstreams/README.md)
	// that this backend is sent from whoever sends them, and headers of issuers. Optional: none.
	IdentityHeadersPass []IdentityHeader `yaml:"identity_headers_pass"`
	// ForwardToken is the issuer whose access token is passed on where it came. Optional: none is.
	ForwardToken string `yaml:"forward_token"`
	// OddHeaders says what becomes of a header whose name has other characters than letters, digits and "-": "drop",
	// "reject" the request, or "pass" what is not reserved. Optional: drop.
	OddHeaders string `yaml:"odd_headers"`
	// Keepalive is how long a connection may be idle before it is closed, or "off" for one that ends with its answer. It is to
	// be shorter than the backend's own: 4s for node, whose is 5s; off or 1s for gunicorn, whose is 2s. Optional: 60s.
	Keepalive Keepalive `yaml:"keepalive"`
	// TCPKeepalive is how long a connection may be silent until TCP's own probes begin (SO_KEEPALIVE), from 1s to 1h, or "off" for none:
	// by them it is known that the other side has gone, and firewalls do not forget a WebSocket. Optional: 30s.
	TCPKeepalive Keepalive `yaml:"tcp_keepalive"`
	// WebSocketPing is how long the ends of a WebSocket are sent nothing until they are sent a ping, twice as long at the latest, from 5s to
	// 1h, for proxies between that end what is silent. The other end sees the pong that answers it, which asks for nothing. Optional: "off".
	WebSocketPing Keepalive `yaml:"websocket_ping"`
	// ProxyProtocol has each connection begin with a PROXY header, "v1" or "v2", that says who the client is, for a backend that is told
	// so. It serves one request then, or one client (connection_auth); health checks say that they are nobody's. Not where addresses
	// speak HTTP/2, whose connections many share. Optional: "off".
	ProxyProtocol ProxyProtocol `yaml:"proxy_protocol"`
	// Affinity has the requests of one client go to the same address as long as that can be asked, for backends that keep sessions in
	// memory: "user", by who is signed in, and where nobody is, by the client's IPv4 address or IPv6 /64; "cookie", by a cookie that a
	// browser is given, __Host-vilogate-affinity, which the backend does not see. All gateways choose the same, by the weights. When an
	// address goes, its clients go to others, and no one else's; when one is added, its share of the clients does. One of the weight 0 has
	// none. Optional: "off".
	Affinity Affinity `yaml:"affinity"`
	// Retry says whether a request that failed at one address goes to another: "on" where it was not sent, or where the
	// connection was closed before an answer began and it may be repeated (GET, HEAD, OPTIONS, TRACE, PUT or DELETE, without a
	// body); of the latter, as many as 20 % of the requests and 100 at once. One whose kept connection was closed under it is sent
	// once more to the same address, where it may be repeated. So is what an upstream of HTTP/2 says that it has not processed,
	// whatever its method, where at most 16 KiB of its body were read. "off": neither. Optional: on.
	Retry Switch `yaml:"retry"`
	// Eject says which answers eject an address, as connection errors do. Optional: none do.
	Eject Eject `yaml:"eject"`
	// SlowStart is how long an address takes until it has its whole share of the requests, which grows from a tenth, when it
	// comes back (healthy again, or no longer ejected) or a reload adds it; not when the process starts. Optional: it has it at once.
	SlowStart strictyaml.Duration `yaml:"slow_start"`
	// Health has the addresses be asked whether they are healthy; one that is not gets no requests, unless none is: then each
	// is tried in turn. Optional: they are not asked.
	Health *Health `yaml:"health"`
	// Buffer says how much of a body is held for slow clients, so that they hold no connection to the backend, and with it a
	// worker of it. Optional: 1MiB of requests, and of answers.
	Buffer Buffer `yaml:"buffer"`
	// Concurrency is how many requests may be under way at the backend, at all of its addresses, WebSockets and other streams as
	// long as they are open; one client (a signed-in user, else an IPv4 address or an IPv6 /64) has half of them at most. More
	// wait in the queue. From 1 to 100000. Optional: any number: only its owner knows what a backend can take.
	Concurrency int `yaml:"concurrency"`
	// Connections is how many connections to one address may be open; a request has one to itself, and so has a client whose login
	// is bound to it, which half of them at most are for, and a quarter for those of one address. Health checks have more. More
	// requests wait in the queue. From 1 to 100000. Optional: any number. Where addresses speak HTTP/2, it is how many requests
	// one of them has at a time. With affinity, one client has half of them at most: who chooses a cookie chooses an address.
	Connections int `yaml:"connections"`
	// Queue is where requests wait that are too many for Concurrency or Connections.
	Queue Queue `yaml:"queue"`
	// Breaker has the backend not be asked for a while when it fails: requests are 503 at once. Optional: it always is.
	Breaker *Breaker `yaml:"breaker"`
	// Signature is not supported yet.
	Signature unsupported `yaml:"signature"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (u *Upstream) SetDefaults() {
	u.Timeout, u.IdentityHeaders, u.OddHeaders = seconds(60), "x-user", "drop"
	u.Keepalive, u.Retry, u.Resolve = Keepalive(time.Minute), "on", Resolve(10*time.Second)
	u.TCPKeepalive = Keepalive(30 * time.Second)
	u.Buffer.SetDefaults()
	u.Queue.SetDefaults()
}

// Breaker says when a backend is asked no more for a while (circuit breaker). A failure is a request that is not answered (no
// connection to any address, none in time, closed before an answer began), or with 502, 503 or 504; an answer that is none
// ends the count, and what is the client's doing does not count. Whoever can have the backend answer so opens it for
// everybody: it is for backends whose 502, 503 and 504 say that they can do no more.
type Breaker struct {
	// Failures is how many in a row open it, from 1 to 1000.
	Failures int `yaml:"failures,required"`
	// Open is how long requests are 503, with Retry-After, from 1s to 10m; then one in this time tries, until one is answered.
	// Optional: 10s.
	Open strictyaml.Duration `yaml:"open"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (b *Breaker) SetDefaults() { b.Open = seconds(10) }

// Queue is where requests wait until their backend can take them. Clients have their turns, and of one client's the oldest is first.
// One whose client has gone leaves. One that does not fit, or has waited for too long, or would by the pace of late, is 503 with
// Retry-After. When the queue is full, the client with the most that wait makes room for those with fewer.
type Queue struct {
	// Length is how many wait at most, from 0 to 10000. Optional: 100.
	Length int `yaml:"length"`
	// Timeout is how long they wait, from 1s to 30s. Optional: 1s.
	Timeout strictyaml.Duration `yaml:"timeout"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (q *Queue) SetDefaults() { q.Length, q.Timeout = 100, seconds(1) }

// BackendTLS says how it is known who is at the https or h2 addresses of a backend, and who asks there. Files are PEM, and read again by
// a reload. TLS 1.2 is the least.
type BackendTLS struct {
	// Roots is a file of certificates of authorities that are trusted, and no others. Optional: those of the system.
	Roots string `yaml:"roots"`
	// Name is the name, or the IP address, that the backend's certificate is to have; it is asked for (SNI). Optional: the URL's host.
	Name string `yaml:"name"`
	// Certificate and Key are files with the gateway's own certificate, and what its authority has signed that by, and with its
	// private key, for backends that want one. Optional: none.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`

	// RootsPEM, CertificatePEM and KeyPEM are what the files hold.
	RootsPEM       string `yaml:"-"`
	CertificatePEM string `yaml:"-"`
	KeyPEM         string `yaml:"-"`

	Places strictyaml.Places
}

// Buffer says how much of a body is held for slow clients, in memory within limits.buffer_memory, and on disk. Event streams, WebSocket and calls
// of gRPC (to upstreams of HTTP/2) are never held, nor is anything on routes that say stream: true.
type Buffer struct {
	// Request is the longest body of a request, by its Content-Length, that is taken in before the backend is asked; a longer
	// one, or "off", streams. Expect: 100-continue of a body that is taken in is answered by the gateway. Optional: 1MiB.
	Request SizeOrOff `yaml:"request"`
	// Response is how much of an answer is read from the backend ahead of a slow reader, or "off". What has come is never held
	// back. Optional: 1MiB.
	Response SizeOrOff `yaml:"response"`
	// Disk is how long a body may be that is taken in beyond Request, and how much of an answer is read ahead beyond Response, in files
	// of the state folder that have no name and mode 0600, within limits.buffer_disk and never of the last fifth of the file system: where
	// there is no room, bodies stream as without it. Up to a quarter of limits.buffer_disk. Optional: "off".
	Disk SizeOrOff `yaml:"disk"`
	// Unknown has bodies of unknown length (chunked, or HTTP/2 without a Content-Length) taken in as well, and sent with a
	// Content-Length; one beyond Request, and Disk, is 413. It is for backends that read chunked bodies as empty, as WSGI servers may.
	// Optional: they stream.
	Unknown bool `yaml:"unknown"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (b *Buffer) SetDefaults() { b.Request, b.Response = 1<<20, 1<<20 }

// Eject says which answers eject an address of a backend.
type Eject struct {
	// Consecutive5xx is how many answers of 5xx in a row (one that does not come in time is one) eject an address, from 1 to
	// 1000; never more than half of a backend's addresses. Optional: no number does.
	Consecutive5xx int `yaml:"consecutive_5xx"`

	Places strictyaml.Places
}

// Health says how the addresses of a backend are asked whether they are healthy: by GET, without identity headers,
// from User-Agent vilogate-health-check. Redirects are not followed.
type Health struct {
	// Path is what is asked for, with a query if need be.
	Path string `yaml:"path,required"`
	// Interval is the time between two checks of an address. Optional: 10s.
	Interval strictyaml.Duration `yaml:"interval"`
	// Timeout is how long the answer's header may take, at most Interval. Optional: 2s, or Interval where that is shorter.
	Timeout strictyaml.Duration `yaml:"timeout"`
	// Healthy is how many successes in a row make an unhealthy address healthy, and Unhealthy how many failures in a row a
	// healthy one unhealthy. Optional: 2 and 3.
	Healthy   int `yaml:"healthy"`
	Unhealthy int `yaml:"unhealthy"`
	// Status is what the status of a success is: 200-399, or one, 204. Optional: 200-399.
	Status StatusRange `yaml:"status"`
	// Host is the Host header. Optional: the address.
	Host string `yaml:"host"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (h *Health) SetDefaults() {
	h.Interval, h.Timeout, h.Healthy, h.Unhealthy, h.Status = seconds(10), seconds(2), 2, 3, StatusRange{200, 399}
}

func (u *Upstream) isSet(key string) bool { return isSet(u.Places, key) }

// Addresses are all addresses of the backend.
func (u Upstream) Addresses() []Backend {
	if u.isSet("url") {
		return []Backend{{URL: u.URL, Weight: 1}}
	}
	return u.URLs
}

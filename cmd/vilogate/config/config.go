// Package config is vilogate.yaml: the comments on [Config] are its reference.
//
// [Load] reads the file strictly, puts the environment and secret files into its strings, fills in the defaults, every
// one of which is safe in production, and refuses what cannot work together. Whatever is wrong is said with its file, line
// and column; a key that is documented and not supported yet is refused as such, never accepted and ignored. What ${…}
// stands for never appears in an error. Nothing here opens a database, a socket or a connection.
//
// It belongs to cmd/vilogate: the rooms below take their own options, and know nothing of files.
package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

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
	// HeaderTime bounds the time in which it must arrive. Optional: 10s.
	HeaderTime strictyaml.Duration `yaml:"header_time"`
	// IdleTime is how long a connection may stay without a request. Optional: 2m.
	IdleTime strictyaml.Duration `yaml:"idle_time"`
	// BodyMinRate is the slowest that an upload with a Content-Length may be; nothing limits its total time.
	// Optional: 1KiB/s; not of an IdP alone.
	BodyMinRate ByteRate `yaml:"body_min_rate"`
	// Streams is how many requests one HTTP/2 connection may have under way. Optional: 250; not of an IdP alone.
	Streams int `yaml:"streams"`
	// ConnectionAuth is how many connections to upstreams may be one client's alone, on routes with connection_auth: allow;
	// beyond that such requests are 503, and so they are for one client address (of IPv6 a /64) that has a quarter of them, or one
	// where a quarter is less: an office behind one address needs four times what it opens. Optional: 1000; not of an IdP alone.
	ConnectionAuth int `yaml:"connection_auth"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (l *Limits) SetDefaults() {
	l.HeaderBytes, l.HeaderTime, l.IdleTime, l.BodyMinRate, l.Streams = 64<<10, seconds(10), seconds(120), 1<<10, 250
	l.ConnectionAuth = 1000
}

// Certificates says where the TLS certificates come from.
type Certificates struct {
	// Source is "cloudflare" (an ACME authority signs them, which is shown by DNS records at Cloudflare that the names are
	// ours), "files", or "local" (a CA of our own, for machines that are not public).
	Source string `yaml:"source,required"`
	// Names get a certificate; `*.` stands for one label. Not of source "files". Optional: the domain and the wildcard
	// below it.
	Names []string `yaml:"names"`
	// Files are the certificates of source "files". They are read again when they change.
	Files []CertificateFiles `yaml:"files"`

	// The rest is of source "cloudflare".

	// APIToken is a Cloudflare API token with the permissions Zone / Zone / Read and Zone / DNS / Edit for the zone in which
	// the TXT records are written. Required.
	APIToken string `yaml:"api_token"`
	// Email is where the authority writes to. Optional.
	Email string `yaml:"email"`
	// CA is the directory of the ACME authority, an https address, whose terms of service you agree to by naming it;
	// "staging" is Let's Encrypt's for trials. Optional: Let's Encrypt.
	CA string `yaml:"ca"`
	// CARoots is a file of PEM certificates that are trusted as the authority's own, and no others. Optional: the usual ones.
	CARoots string `yaml:"ca_roots"`
	// EAB binds the account to one that the authority knows already, where it wants that (RFC 8555, section 7.3.4).
	EAB *EAB `yaml:"eab"`
	// APIBase is where Cloudflare's API is, for those behind a proxy. Optional: https://api.cloudflare.com/client/v4.
	APIBase string `yaml:"api_base"`
	// ChallengeDomain is where _acme-challenge.<name> is an alias of (CNAME), for every name. The TXT records are written
	// there, so that the token need not reach the zone of the names. Optional: they are written where they are asked for.
	ChallengeDomain string `yaml:"challenge_domain"`
	// DNS says how it is found out whether the records can be seen.
	DNS CertificateDNS `yaml:"dns"`

	Places strictyaml.Places
}

// Authorities that have a word, or are the default.
const (
	letsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	letsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// SetDefaults fills in what holds where the file says nothing.
func (t *Certificates) SetDefaults() {
	t.CA = letsEncrypt
	t.DNS.PropagationTimeout = seconds(120)
}

// EAB names an account at the authority, and the key that it gave for it.
type EAB struct {
	KeyID  string `yaml:"key_id,required"`
	MACKey string `yaml:"mac_key,required"` // base64url
}

// CertificateDNS says how it is found out whether TXT records can be seen.
type CertificateDNS struct {
	// Resolvers are asked, as host or host:port. Optional: the system's, and then the name servers of the zone.
	Resolvers []string `yaml:"resolvers"`
	// PropagationTimeout is how long a record may take to be seen. Optional: 2m.
	PropagationTimeout strictyaml.Duration `yaml:"propagation_timeout"`

	Places strictyaml.Places
}

// CertificateFiles are the paths of one certificate (chain) and its key, both PEM.
type CertificateFiles struct {
	Certificate string `yaml:"certificate,required"`
	Key         string `yaml:"key,required"`

	Places strictyaml.Places
}

// Tokens says which logins are believed.
type Tokens struct {
	// Cookie is the name of the SSO cookie of our own IdP. Optional: __Secure-sso.
	Cookie string `yaml:"cookie" reload:"restart"`
	// Audience is the audience of our own IdP's tokens. Optional: viloforge.
	Audience string `yaml:"audience" reload:"restart"`
	// MaxBytes is the longest token that is looked at, from 4KiB to 64KiB and below limits.header_bytes. Optional: 16KiB; not of an
	// IdP alone.
	MaxBytes strictyaml.Size `yaml:"max_bytes" reload:"restart"`
	// Issuers are believed besides our own IdP; idp/token/README.md has what to write for the ones that many have. Optional.
	Issuers []Issuer `yaml:"issuers"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (t *Tokens) SetDefaults() {
	t.Cookie, t.Audience, t.MaxBytes = "__Secure-sso", "viloforge", 16<<10
}

// Issuer is somebody else whose tokens are believed, by published keys or by a shared secret.
type Issuer struct {
	// Name is how policies and headers call it: it prefixes the subjects. "vilogate" is our own IdP.
	Name string `yaml:"name,required"`
	// Issuer is the `iss` of its tokens, byte for byte. An https address needs nothing else: its keys are found by discovery
	// unless JWKS or Keys is given. What is no https address (http://fs.corp.example/adfs/services/trust, a SPIFFE trust
	// domain) needs one of them. Optional with Secret: then its tokens have no `iss` and no subject, Claims says who they are
	// for, and only one such issuer is possible.
	Issuer string `yaml:"issuer"`
	// JWKS is the address of its keys, https. One redirect is followed, to https too. Optional.
	JWKS string `yaml:"jwks"`
	// Keys are its public keys themselves: a file with a JSON Web Key Set (RFC 7517), or a list of such keys. They are read
	// with the configuration, at a reload too, and nothing is fetched. Optional; not with JWKS.
	Keys Keys `yaml:"keys"`
	// CA is a file of PEM certificates that are trusted as the servers of its discovery and of its keys, and no others.
	// These are asked through HTTPS_PROXY, where the environment has it and NO_PROXY does not name them. Optional: the usual
	// ones.
	CA string `yaml:"ca"`
	// Audience are the audiences of which a token must have one; "none" for tokens that name none, and then ClientIDs says
	// whose they are. Required where Issuer stands.
	Audience Audiences `yaml:"audience"`
	// ClientIDs are the clients whose tokens are believed, with `audience: none`: the claims client_id and azp of a token, one
	// of which it must have, must be among them. A token that names an audience, or is of the type at+jwt, is refused there.
	ClientIDs []string `yaml:"client_ids"`
	// Secret is the shared secret of its tokens, at least 32 bytes.
	Secret string `yaml:"secret"`
	// Secrets are several, in place of Secret, while one replaces another: any of them may have signed.
	Secrets []string `yaml:"secrets"`
	// Algorithm goes with Secret and Secrets: HS256, HS384 or HS512. Optional: HS256.
	Algorithm string `yaml:"algorithm"`
	// Algorithms are those with which its published keys may sign, such as [RS256]. Optional: each key says its own, or it is
	// what a key of its type can.
	Algorithms []string `yaml:"algorithms"`
	// Cookie is the cookie that carries its tokens. Optional: they come as Bearer tokens only.
	Cookie string `yaml:"cookie"`
	// Header is the header in which a proxy before the gateway sends its tokens, as Cf-Access-Jwt-Assertion. Only tokens of this
	// issuer count there, by their signature alone: whoever reaches the gateway can send one. It counts as a cookie (CSRF
	// protection), before the cookies; where it and another credential are of two people, the request is refused. Backends
	// are not sent it, unless identity_headers_pass names it. Optional.
	Header TokenHeader `yaml:"header"`
	// Claims names the claims to read. Roles are taken only where `roles` is named; naming `user` says that its user names
	// are ours.
	Claims Claims `yaml:"claims"`
	// RoleMap has the role that one of theirs gives here, such as { "/admins": admin }, or "drop" where it gives none. A role
	// that stands on the right is given by this map alone. Optional.
	RoleMap map[string]string `yaml:"role_map"`
	// RolesUnmapped says what becomes of the other roles: "keep" (they count as the issuer spells them, percent-encoded in
	// headers), "drop", or "slug" (they count in lower case, with hyphens, and not where two of a token would be one).
	// Optional: keep.
	RolesUnmapped string `yaml:"roles_unmapped"`

	// CAPEM is what CA holds.
	CAPEM string `yaml:"-"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (i *Issuer) SetDefaults() { i.RolesUnmapped = "keep" }

// Claims are names of claims. Each is optional.
type Claims struct {
	User  string `yaml:"user"`
	Email string `yaml:"email"`
	Name  string `yaml:"name"`
	// Roles is the name of the claim with the roles; where a token has none of that name, a dotted path to it
	// (realm_access.roles); or the path as a list ([resource_access, "my.app", roles]). It is a list of texts, an object with a
	// member for each role, or a text.
	Roles ClaimPath `yaml:"roles"`
	// Delimiter divides a text with several roles, such as ",". Optional: a text is one role, but for scope and scp, which are
	// words.
	Delimiter string `yaml:"delimiter"`

	Places strictyaml.Places
}

// Login says where people are sent to sign in: to our own IdP on Host, or to somebody else's page.
type Login struct {
	// Host is the login host of our own IdP. Optional where idp: stands: login.<domain>.
	Host string `yaml:"host"`
	// Upstream is where that IdP listens (http://host:port) when it is another process.
	Upstream string `yaml:"upstream"`
	// URL is somebody else's login page, given the return address as redirect_uri.
	URL string `yaml:"url"`
	// KeepPost is how long a form may be, from 1KiB to 8MiB, that is kept when its sender's session has ended, and can be sent
	// after they have signed in again; "off" keeps none. It is kept for ten minutes, 8 of a browser and 64MiB in all: in the
	// memory of the process, or sealed in Redis where there is one. Of a gateway. Optional: 1MiB.
	KeepPost SizeOrOff `yaml:"keep_post"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (l *Login) SetDefaults() { l.KeepPost = 1 << 20 }

// Logout says what becomes of a browser that signs out.
type Logout struct {
	// ClearSiteData is what a browser is told to remove of the host that answers a sign-out (Clear-Site-Data): "cache",
	// "cookies" (of the whole registered domain), "storage" and "executionContexts"; an empty list for nothing. With the cache
	// go the pages that the back button would show. Optional: [cache].
	ClearSiteData []string `yaml:"clear_site_data"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (l *Logout) SetDefaults() { l.ClearSiteData = []string{"cache"} }

// Header is the value of Clear-Site-Data; "" for none.
func (l *Logout) Header() string {
	quoted := make([]string, len(l.ClearSiteData))
	for i, kind := range l.ClearSiteData {
		quoted[i] = strconv.Quote(kind)
	}
	return strings.Join(quoted, ", ")
}

// IDP runs our own identity provider.
type IDP struct {
	// Listen is where it serves, plain HTTP for a gateway, when it runs without one in the process.
	Listen Address `yaml:"listen"`
	// Database is "sqlite", in the state folder; postgres:// is not supported yet. Optional: sqlite.
	Database string `yaml:"database"`
	// AccessTokenTTL is how long an access token holds; gateways renew it while its session lives. At most half of SessionIdle.
	// Optional: 15m.
	AccessTokenTTL strictyaml.Duration `yaml:"access_token_ttl"`
	// SessionIdle ends a session that is not used, and SessionMax any session. Optional: 8h and 30d; at most 90d.
	SessionIdle strictyaml.Duration `yaml:"session_idle"`
	SessionMax  strictyaml.Duration `yaml:"session_max"`
	// RenewalMax is how long a session is renewed without its browser passing the login host. After that a navigation goes there,
	// without a word, and a fetch is 401. Optional: SessionIdle.
	RenewalMax strictyaml.Duration `yaml:"renewal_max"`
	// RenewalGrace is how long a token stands for its session after the one in its place was delivered: as long as the slowest
	// answers take. Optional: 2m.
	RenewalGrace strictyaml.Duration `yaml:"renewal_grace"`
	// ReturnHosts are the hosts that a login may return to, `*.` for one label. Optional where gateway and IdP are one
	// process: the hosts of the policies.
	ReturnHosts []string `yaml:"return_hosts"`
	// Home is where a login without a usable return address ends: a path of the login host, or an https address.
	// Optional: /account.
	Home string `yaml:"home"`
	// LoginLimits slow logins down.
	LoginLimits LoginLimits `yaml:"login_limits"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (i *IDP) SetDefaults() {
	i.Database, i.Home = "sqlite", "/account"
	i.AccessTokenTTL, i.SessionIdle, i.SessionMax = seconds(15*60), seconds(8*3600), seconds(30*86400)
	i.RenewalGrace = seconds(2 * 60)
	i.LoginLimits.SetDefaults()
}

// LoginLimits are rates of logins: of failed ones from browsers that nobody has signed in to the account from yet (others have
// ten failures of their own until the next success), and of those that succeed.
type LoginLimits struct {
	// PerAccount counts by account, however its name is spelt. Its number may come at once; after them one a minute is let
	// through, or as few as the rate says, and after 100 consecutive failures one in ten minutes. A success, or
	// `vilogate user unlock`, begins anew. Optional: 10/m.
	PerAccount Rate `yaml:"per_account"`
	// PerAddress counts by client address (IPv6 by /64). Optional: 60/m.
	PerAddress Rate `yaml:"per_address"`
	// Successes counts, by account and client address together, the logins that succeed, from known browsers too.
	// Optional: 60/m.
	Successes Rate `yaml:"successes"`
}

// SetDefaults fills in what holds where the file says nothing.
func (l *LoginLimits) SetDefaults() {
	*l = LoginLimits{PerAccount: Rate{gcra.Rate{Events: 10, Per: time.Minute}}, PerAddress: Rate{gcra.Rate{Events: 60, Per: time.Minute}}, Successes: Rate{gcra.Rate{Events: 60, Per: time.Minute}}}
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

// Upstream is a backend: plain HTTP, at one address or several. Of two that chance picks a request goes to the one with fewer
// in flight. An address that refuses a connection, does not accept it in time (1s; 5s where there is no other), or closes it
// before an answer begins is ejected for 1s, then 2s, 4s … up to 30s, until a request succeeds; where all are, each is tried in
// turn.
type Upstream struct {
	// URL is its address, http://host:port; URLs are its addresses. One of the two is required.
	URL  string   `yaml:"url"`
	URLs []string `yaml:"urls"`
	// Timeout is how long the response's header may take, except for WebSocket and gRPC. Optional: 60s.
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
	// Retry says whether a request that failed at one address goes to another: "on" where it was not sent, or where the
	// connection was closed before an answer began and it may be repeated (GET, HEAD, OPTIONS, TRACE, PUT or DELETE, without a
	// body); of the latter, as many as 20 % of the requests and 100 at once. "off": never. Optional: on.
	Retry Switch `yaml:"retry"`
	// Eject says which answers eject an address, as connection errors do. Optional: none do.
	Eject Eject `yaml:"eject"`
	// Health has the addresses be asked whether they are healthy; one that is not gets no requests, unless none is: then each
	// is tried in turn. Optional: they are not asked.
	Health *Health `yaml:"health"`
	// Signature is not supported yet.
	Signature unsupported `yaml:"signature"`

	Places strictyaml.Places
}

// SetDefaults fills in what holds where the file says nothing.
func (u *Upstream) SetDefaults() {
	u.Timeout, u.IdentityHeaders, u.OddHeaders = seconds(60), "x-user", "drop"
	u.Keepalive, u.Retry = Keepalive(time.Minute), "on"
}

// Eject says which answers eject an address of a backend.
type Eject struct {
	// Consecutive5xx is how many answers of 5xx in a row (one that does not come in time is one) eject an address, from 1 to
	// 1000; never more than half of a backend's addresses. Optional: no number does.
	Consecutive5xx int `yaml:"consecutive_5xx"`

	Places strictyaml.Places
}

// Health says how the addresses of a backend are asked whether they are healthy: by GET over HTTP/1.1, without identity headers,
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

func seconds(n int64) strictyaml.Duration { return strictyaml.Duration(n * int64(time.Second)) }

func (c *Config) isSet(key string) bool { return isSet(c.Places, key) }

func (l Listen) isSet(key string) bool { return isSet(l.Places, key) }

func (l *Login) isSet(key string) bool { return isSet(l.Places, key) }

func (i *IDP) isSet(key string) bool { return isSet(i.Places, key) }

func (i *Issuer) isSet(key string) bool { return isSet(i.Places, key) }

func (u *Upstream) isSet(key string) bool { return isSet(u.Places, key) }

func (t *Certificates) isSet(key string) bool { return isSet(t.Places, key) }

package config

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

func (c *checker) checkAll() {
	if c.Domain != "" {
		c.checkDomain()
	}
	c.checkMode()
	c.checkAdminHosts()
	c.checkClientAddress()
	c.checkForwardAuth()
	c.checkLogin()
	for _, kind := range c.Logout.ClearSiteData {
		c.oneOf(c.Logout.Places.Of("clear_site_data"), "clear_site_data", kind, "cache", "cookies", "storage", "executionContexts")
	}
	if c.IDP != nil {
		c.checkIDP()
	}
	c.checkStores()
	c.checkCertificates()
	c.checkTokens()
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		c.checkUpstream(name, c.Upstreams[name])
	}
	c.checkRanges()
	if c.Audit != nil {
		c.checkAudit()
	}
}

func (c *checker) checkDomain() {
	at := c.Places.Of("domain")
	if _, err := netip.ParseAddr(c.Domain); err == nil || !request.IsHostName(c.Domain) {
		c.errorf(at, "%q is no domain; one is written in lower case, without a port: viloforge.com", c.Domain)
		return
	}
	if suffix, _ := publicsuffix.PublicSuffix(c.Domain); suffix == c.Domain {
		c.errorf(at, "%q is a public suffix: browsers refuse cookies for it, and strangers own its other names; use a domain of your own, such as example.%s", c.Domain, c.Domain)
	}
}

// checkMode is about what this process is: a gateway, an IdP or both.
func (c *checker) checkMode() {
	switch gateway := c.Gateway(); {
	case !gateway && c.IDP == nil:
		c.errorf(c.Places.Of(""), "nothing to run: a gateway needs `policies:`, an identity provider `idp:`")
	case gateway && c.IDP != nil && c.IDP.isSet("listen"):
		c.errorf(c.IDP.Places.Of("listen"), "idp.listen is for an identity provider in a process of its own; with `policies:` here, the gateway serves it")
	case gateway && c.Certificates == nil:
		c.errorf(c.Places.Of(""), "a gateway needs `certificates:`, with source cloudflare, files or local")
	case !gateway:
		c.checkStandaloneIDP()
	}
	if c.Gateway() && c.Listen.HTTPS == Off {
		c.errorf(c.Listen.Places.Of("https"), "listen.https cannot be off in a gateway; only http and admin can")
	}
}

// checkAdminHosts is about the names of the admin listener.
func (c *checker) checkAdminHosts() {
	for _, name := range c.AdminHosts {
		plain := strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.")
		if name != "" && (plain != "" || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".")) {
			c.errorf(c.Places.Of("admin_hosts"), "admin_hosts: %q is no name; one is written in lower case, without a port: gateway or vilogate.example.com", name)
		}
	}
}

// checkClientAddress is about how trusted proxies say who asks.
func (c *checker) checkClientAddress() {
	c.oneOf(c.Places.Of("client_address"), "client_address", c.ClientAddress, "x-forwarded-for", "forwarded")
	for _, key := range []string{"client_address", "client_ip_headers"} {
		if c.isSet(key) && len(c.TrustedProxies) == 0 {
			c.errorf(c.Places.Of(key), "%s is what trusted proxies are believed about, and `trusted_proxies` names none", key)
		}
	}
	if c.isSet("client_address") && len(c.ClientIPHeaders) > 0 {
		c.errorf(c.Places.Of("client_address"), "with `client_ip_headers`, no list counts; keep one of the two")
	}
	seen := map[ClientIPHeader]bool{}
	for _, name := range c.ClientIPHeaders {
		if seen[name] && name != "" {
			c.errorf(c.Places.Of("client_ip_headers"), "client_ip_headers names a header twice")
		}
		seen[name] = true
	}
}

// checkStandaloneIDP is about an IdP without a gateway in the process: what it needs, and what would be ignored.
func (c *checker) checkStandaloneIDP() {
	needs := func(given bool, at strictyaml.Place, key, why string) {
		if !given {
			c.errorf(at, "an identity provider without a gateway in the process needs `%s`%s", key, why)
		}
	}
	needs(c.Login != nil && c.Login.isSet("host"), c.Places.Of("login"), "login.host", "")
	needs(c.isSet("state"), c.Places.Of(""), "state", "")
	needs(c.isSet("redis"), c.Places.Of(""), "redis", ": through it the gateways learn what is revoked")
	needs(c.isSet("secret"), c.Places.Of(""), "secret", "")
	needs(c.IDP.isSet("listen"), c.IDP.Places.Of(""), "idp.listen", "")
	needs(c.IDP.isSet("return_hosts"), c.IDP.Places.Of(""), "idp.return_hosts", ": there are no policies to take the hosts from")
	needs(len(c.TrustedProxies) > 0, c.Places.Of("trusted_proxies"), "trusted_proxies", ", and the gateway in them: it says who asks")
	ignored := func(given bool, at strictyaml.Place, key string) {
		if given {
			c.errorf(at, "%s is for a gateway, and without `policies:` this process is none", key)
		}
	}
	ignored(c.Listen.isSet("https") && c.Listen.HTTPS != Off, c.Listen.Places.Of("https"), "listen.https")
	ignored(c.Listen.isSet("http3") && c.Listen.HTTP3 != Off, c.Listen.Places.Of("http3"), "listen.http3")
	ignored(c.Listen.isSet("http") && c.Listen.HTTP != Off, c.Listen.Places.Of("http"), "listen.http")
	ignored(c.Certificates != nil, c.Places.Of("certificates"), "certificates")
	ignored(isSet(c.Limits.Places, "connection_auth"), c.Limits.Places.Of("connection_auth"), "limits.connection_auth")
	ignored(isSet(c.Limits.Places, "tcp_keepalive"), c.Limits.Places.Of("tcp_keepalive"), "limits.tcp_keepalive")
	ignored(isSet(c.Limits.Places, "buffer_disk"), c.Limits.Places.Of("buffer_disk"), "limits.buffer_disk")
	ignored(isSet(c.Limits.Places, "buffer_memory"), c.Limits.Places.Of("buffer_memory"), "limits.buffer_memory")
	ignored(isSet(c.Limits.Places, "client_requests"), c.Limits.Places.Of("client_requests"), "limits.client_requests")
	ignored(isSet(c.Limits.Places, "body_min_rate"), c.Limits.Places.Of("body_min_rate"), "limits.body_min_rate")
	ignored(c.Login != nil && c.Login.isSet("keep_post"), c.Places.Of("login"), "login.keep_post")
	ignored(isSet(c.Limits.Places, "streams"), c.Limits.Places.Of("streams"), "limits.streams")
	ignored(len(c.Upstreams) > 0, c.Places.Of("upstreams"), "upstreams")
	ignored(isSet(c.Tokens.Places, "max_bytes"), c.Tokens.Places.Of("max_bytes"), "tokens.max_bytes")
	ignored(len(c.Tokens.Issuers) > 0, c.Tokens.Places.Of("issuers"), "tokens.issuers")
}

func (c *checker) checkLogin() {
	l := c.Login
	if l == nil {
		return
	}
	switch {
	case c.IDP != nil && l.isSet("upstream"):
		c.errorf(l.Places.Of("upstream"), "login.upstream is another process's identity provider, and `idp:` runs one here; keep one of the two")
	case c.IDP != nil && l.isSet("url"):
		c.errorf(l.Places.Of("url"), "login.url is somebody else's login page, and `idp:` runs our own; keep one of the two")
	case l.isSet("url") && (l.isSet("host") || l.isSet("upstream")):
		c.errorf(l.Places.Of("url"), "login.url is somebody else's login page; login.host and login.upstream are our own identity provider's; keep one")
	case !l.isSet("url") && !l.isSet("host") && (c.IDP == nil || !c.Gateway()):
		c.errorf(l.Places.Of(""), "login needs `host`, or `url` where the login page is somebody else's")
	}
	if l.KeepPost != 0 && (l.KeepPost < 1<<10 || l.KeepPost > 8<<20) {
		c.errorf(l.Places.Of("keep_post"), "login.keep_post must be from 1KiB to 8MiB, or off, it is %s", strictyaml.Size(l.KeepPost))
	}
	if l.Host != "" && !c.isBelowDomain(l.Host) {
		c.errorf(l.Places.Of("host"), "login.host %q must be a name below the domain %s, else its cookie never arrives", l.Host, c.Domain)
	}
	if l.Upstream != "" && !isUpstreamURL(l.Upstream) {
		c.errorf(l.Places.Of("upstream"), "login.upstream is written http://host:port")
	}
	if u, err := url.Parse(l.URL); l.URL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Contains(l.URL, "#")) {
		c.errorf(l.Places.Of("url"), "login.url is written https://host/path, without a fragment")
	}
}

func (c *checker) checkIDP() {
	i := c.IDP
	switch at := i.Places.Of("database"); {
	case strings.HasPrefix(i.Database, "postgres://"), strings.HasPrefix(i.Database, "postgresql://"):
		c.errorf(at, "a PostgreSQL database is %v; use sqlite", errUnsupported)
	case i.Database != "sqlite" && i.Database != "":
		c.errorf(at, "idp.database is sqlite")
	}
	for key, t := range map[string]strictyaml.Duration{"access_token_ttl": i.AccessTokenTTL, "session_idle": i.SessionIdle, "session_max": i.SessionMax, "renewal_max": i.RenewalMax, "renewal_grace": i.RenewalGrace} {
		if t < seconds(1) && (key != "renewal_max" || i.isSet(key)) {
			c.errorf(i.Places.Of(key), "idp.%s must be at least 1s, it is %s", key, t)
		}
	}
	switch {
	case i.SessionMax.Std() > token.LongestSession:
		c.errorf(i.Places.Of("session_max"), "idp.session_max must be at most %s, it is %s", strictyaml.Duration(token.LongestSession), i.SessionMax)
	case i.SessionIdle > i.SessionMax:
		c.errorf(i.Places.Of("session_idle"), "idp.session_idle (%s) must not be longer than idp.session_max (%s)", i.SessionIdle, i.SessionMax)
	case i.AccessTokenTTL > i.SessionIdle/2:
		c.errorf(i.Places.Of("access_token_ttl"), "idp.access_token_ttl (%s) must not be longer than half of idp.session_idle (%s): a session is used when its token is renewed", i.AccessTokenTTL, i.SessionIdle)
	case i.RenewalMax > i.SessionMax:
		c.errorf(i.Places.Of("renewal_max"), "idp.renewal_max (%s) must not be longer than idp.session_max (%s)", i.RenewalMax, i.SessionMax)
	}
	if i.isSet("return_hosts") && len(i.ReturnHosts) == 0 {
		c.errorf(i.Places.Of("return_hosts"), "idp.return_hosts is empty")
	}
	for _, h := range i.ReturnHosts {
		host, port, _ := strings.Cut(strings.TrimPrefix(h, "*."), ":")
		switch at := i.Places.Of("return_hosts"); {
		case h == "": // not known
		case request.IsHostName(host) && isAddress(":"+port):
			c.errorf(at, "%q has a port, and logins return to the public one only; leave it out", h)
		case !request.IsHostName(strings.TrimPrefix(h, "*.")):
			c.errorf(at, "%q is no host; one is written \"*.viloforge.com\" or website.viloforge.com", h)
		}
	}
	if i.Home != "" && !isHomeURL(i.Home) {
		c.errorf(i.Places.Of("home"), "idp.home is a path of the login host (/account) or an https address")
	}
}

// checkStores is about Redis and the secret.
func (c *checker) checkStores() {
	if c.isSet("secret") && c.Secret != "" && len(c.Secret) < 32 {
		c.errorf(c.Places.Of("secret"), "secret has %d bytes, it needs at least 32; `openssl rand -base64 48` makes one", len(c.Secret))
	}
	if c.isSet("redis") {
		if !c.isSet("secret") {
			c.errorf(c.Places.Of("redis"), "with `redis:`, `secret:` is required: it proves which entries are ours")
		}
		return
	}
	if c.Gateway() && c.IDP == nil && c.UsesOwnIDP() && c.Login != nil {
		c.errorf(c.Places.Of("login"), "a gateway whose identity provider is another process needs `redis:`: through it, it learns what is revoked")
	}
}

func (c *checker) checkRanges() {
	if c.isSet("public_port") && (c.PublicPort < 1 || c.PublicPort > 65535) {
		c.errorf(c.Places.Of("public_port"), "%d is no port", c.PublicPort)
	}
	l := c.Limits
	if l.HeaderBytes < 4<<10 || l.HeaderBytes > 1<<20 {
		c.errorf(l.Places.Of("header_bytes"), "limits.header_bytes must be from 4KiB to 1MiB, it is %s", l.HeaderBytes)
	}
	if l.Streams < 1 || l.Streams > 10_000 {
		c.errorf(l.Places.Of("streams"), "limits.streams must be from 1 to 10000, it is %d", l.Streams)
	}
	if l.ConnectionAuth < 1 || l.ConnectionAuth > 100_000 {
		c.errorf(l.Places.Of("connection_auth"), "limits.connection_auth must be from 1 to 100000, it is %d", l.ConnectionAuth)
	}
	if l.ClientRequests < 1 || l.ClientRequests > 100_000 {
		c.errorf(l.Places.Of("client_requests"), "limits.client_requests must be from 1 to 100000, it is %d", l.ClientRequests)
	}
	c.checkProbe(l.Places.Of("tcp_keepalive"), l.TCPKeepalive)
	if l.BufferDisk < 16<<20 {
		c.errorf(l.Places.Of("buffer_disk"), "limits.buffer_disk must be at least 16MiB, it is %s; it is used where an upstream has buffer.disk alone", l.BufferDisk)
	}
	if l.BufferMemory < 1<<20 {
		c.errorf(l.Places.Of("buffer_memory"), "limits.buffer_memory must be at least 1MiB, it is %s; bodies are not held with buffer: { request: off, response: off } of an upstream", l.BufferMemory)
	}
	for key, t := range map[string]strictyaml.Duration{"header_time": l.HeaderTime, "idle_time": l.IdleTime} {
		if t < seconds(1) {
			c.errorf(l.Places.Of(key), "limits.%s must be at least 1s, it is %s", key, t)
		}
	}
	if t := c.Revocation.MaxStaleness; t < seconds(1) || t > strictyaml.Duration(time.Hour) {
		c.errorf(c.Revocation.Places.Of("max_staleness"), "revocation.max_staleness must be from 1s to 1h, it is %s", t)
	}
}

func (c *checker) checkAudit() {
	a := c.Audit
	if a.MaxSize < 1<<20 {
		c.errorf(a.Places.Of("max_size"), "audit.max_size must be at least 1MiB, it is %s", a.MaxSize)
	}
	if a.Keep < 0 || a.Keep > 1000 {
		c.errorf(a.Places.Of("keep"), "audit.keep must be from 0 to 1000, it is %d", a.Keep)
	}
	c.oneOf(a.Places.Of("fsync"), "fsync", string(a.Fsync), "always", "interval", "off")
	c.oneOf(a.Places.Of("on_failure"), "on_failure", a.OnFailure, "refuse", "drop")
}

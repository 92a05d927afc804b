package config

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/viloforge/vilogate/idp/token/names"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// ownIssuer is the name of our own IdP among the issuers.
const ownIssuer = "vilogate"

func (c *checker) checkTokens() {
	c.checkCookie(c.Tokens.Places.Of("cookie"), c.Tokens.Cookie)
	if t := &c.Tokens; isSet(t.Places, "max_bytes") && (t.MaxBytes < 4<<10 || t.MaxBytes > 64<<10 || t.MaxBytes >= c.Limits.HeaderBytes) {
		c.errorf(t.Places.Of("max_bytes"), "tokens.max_bytes must be from 4KiB to 64KiB and less than limits.header_bytes, it is %s", t.MaxBytes)
	}
	if c.Tokens.Audience == "" && !isSet(c.Tokens.Places, "audience") {
		c.errorf(c.Tokens.Places.Of("audience"), "tokens.audience is empty")
	}
	cookies := map[string]bool{}
	if c.UsesOwnIDP() {
		cookies[c.Tokens.Cookie] = true
	}
	names, addresses, without := map[string]bool{}, map[string]bool{}, ""
	headers := map[TokenHeader]bool{}
	for i := range c.Tokens.Issuers {
		issuer := &c.Tokens.Issuers[i]
		c.checkIssuer(issuer)
		if names[issuer.Name] {
			c.errorf(issuer.Places.Of("name"), "two issuers are called %q", issuer.Name)
		}
		names[issuer.Name] = true
		if issuer.Cookie != "" && cookies[issuer.Cookie] {
			c.errorf(issuer.Places.Of("cookie"), "two issuers cannot share the cookie %s", issuer.Cookie)
		}
		cookies[issuer.Cookie] = true
		switch at := issuer.Places.Of("header"); {
		case issuer.Header != "" && headers[issuer.Header]:
			c.errorf(at, "two issuers cannot share a header")
		case slices.Contains(c.ClientIPHeaders, ClientIPHeader(issuer.Header)):
			c.errorf(at, "this header says where a client is (client_ip_headers)")
		}
		headers[issuer.Header] = true
		switch {
		case issuer.isShared() && !issuer.isSet("issuer"):
			if without != "" {
				c.errorf(issuer.Places.Of(""), "tokens without `iss` can be of one issuer only, and already are of %q", without)
			}
			without = issuer.Name
		case issuer.Issuer != "" && addresses[issuer.Issuer]:
			c.errorf(issuer.Places.Of("issuer"), "two issuers cannot have the same `issuer`")
		}
		addresses[issuer.Issuer] = true
	}
	if len(cookies) > 9 { // one of them is ""
		c.errorf(c.Tokens.Places.Of("issuers"), "at most 8 different SSO cookies are possible")
	}
}

func (c *checker) checkIssuer(i *Issuer) {
	switch at := i.Places.Of("name"); {
	case i.Name == ownIssuer:
		c.errorf(at, "%q is our own identity provider; call this issuer something else", i.Name)
	case i.Name != "" && !names.IsIssuer(i.Name):
		c.errorf(at, "%q is no name of an issuer; one is at most %d of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit", i.Name, names.MaxIssuer)
	}
	switch secret := i.isShared(); {
	case !c.checkSecrets(i):
	case secret && !slices.Contains([]string{"HS256", "HS384", "HS512"}, i.Algorithm) && i.Algorithm != "":
		c.oneOf(i.Places.Of("algorithm"), "algorithm", i.Algorithm, "HS256", "HS384", "HS512")
	case secret && !i.isSet("issuer") && !isSet(i.Claims.Places, "user"):
		c.errorf(i.Places.Of(""), "tokens without `iss` have no subject either; name the claim that says who: claims: { user: username }")
	case secret && i.isSet("algorithms"):
		c.errorf(i.Places.Of("algorithms"), "`algorithms` goes with published keys; with a secret, write `algorithm`")
	case !secret && i.isSet("algorithm"):
		c.errorf(i.Places.Of("algorithm"), "`algorithm` goes with `secret`; a published key says its own")
	case !secret && !i.isSet("issuer"):
		c.errorf(i.Places.Of(""), "an issuer needs `issuer` (its address), or `secret`")
	default:
		c.checkAudience(i)
	}
	for _, algorithm := range i.Algorithms {
		if !i.isShared() {
			c.oneOf(i.Places.Of("algorithms"), "algorithm", algorithm, publicAlgorithms...)
		}
	}
	c.checkRoles(i)
	c.checkIssuerKeys(i)
	if own := "https://" + c.Domain; i.Issuer == own || i.Issuer == own+"/" {
		c.errorf(i.Places.Of("issuer"), "%s is the gateway itself, whose assertions are for backends and no logins", own)
	}
	if u, err := url.Parse(i.Issuer); err == nil && c.UsesOwnIDP() && c.Login != nil && c.Login.Host != "" && u.Hostname() == c.Login.Host {
		c.errorf(i.Places.Of("issuer"), "%s is our own identity provider's host, which is believed without being named here", c.Login.Host)
	}
	if i.Cookie != "" {
		c.checkCookie(i.Places.Of("cookie"), i.Cookie)
	}
}

// checkIssuerKeys is about where an issuer's keys come from: its `iss` may be anything, unless that is where they are found.
func (c *checker) checkIssuerKeys(i *Issuer) {
	at := i.Places.Of("issuer")
	switch here := i.isSet("jwks") || i.isSet("keys"); {
	case len(i.Issuer) > 1024 || strings.ContainsFunc(i.Issuer, unicode.IsControl):
		c.errorf(at, "issuer is at most 1024 bytes, without control characters")
	case i.Issuer != "" && !here && !i.isShared() && !isSecureURL(i.Issuer):
		c.errorf(at, "issuer is written https://host/path (http:// only for a loopback address), unless `jwks` says where its keys are, or `keys` what they are")
	}
	if i.JWKS != "" && !isSecureURL(i.JWKS) {
		c.errorf(i.Places.Of("jwks"), "jwks is written https://host/path (http:// only for a loopback address)")
	}
	if i.isSet("jwks") && i.isSet("keys") {
		c.errorf(i.Places.Of("keys"), "an issuer has either `jwks` or `keys`")
	}
	if i.isSet("ca") && (i.isSet("keys") || i.isShared()) {
		c.errorf(i.Places.Of("ca"), "`ca` is for keys that are fetched, and of this issuer none are")
	}
}

func (c *checker) checkCookie(at strictyaml.Place, name string) {
	switch {
	case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("()<>@,;:\\\"/[]?={}", r) }) || len(name) > 64:
		c.errorf(at, "%q is no name of a cookie", name)
	case strings.HasPrefix(strings.ToLower(name), "__host-"):
		c.errorf(at, "a cookie named %s cannot be shared by the hosts of a domain; __Secure-… can", name)
	}
}

func (c *checker) checkUpstream(name string, u Upstream) {
	if !isLabel(name) {
		c.errorf(u.Places.Of(""), "%q is no name of an upstream; one has lower case letters, digits and - only", name)
	}
	switch {
	case u.isSet("url") == u.isSet("urls"):
		c.errorf(u.Places.Of(""), "upstream %s needs either `url` or `urls`", name)
	case u.isSet("urls") && len(u.URLs) == 0:
		c.errorf(u.Places.Of("urls"), "upstream %s has no address", name)
	}
	c.checkBackends(u)
	if u.isSet("signature") {
		c.errorf(u.Places.Of("signature"), "signature of an upstream is %v", errUnsupported)
	}
	c.checkFailover(u)
	c.checkUpstreamLimits(u)
	if u.Timeout <= 0 {
		c.errorf(u.Places.Of("timeout"), "timeout must be at least 1s")
	}
	for _, header := range u.IdentityHeadersPass {
		if request.ClassifyHeader(string(header)) == request.OrdinaryHeader && header != "" && !c.isTokenHeader(header) {
			c.errorf(u.Places.Of("identity_headers_pass"), "a header that is neither another product's identity header nor an issuer's `header` passes anyway")
		}
	}
	c.oneOf(u.Places.Of("identity_headers"), "identity_headers", u.IdentityHeaders, "x-user", "remote-user", "x-forwarded-user")
	c.oneOf(u.Places.Of("odd_headers"), "odd_headers", u.OddHeaders, "drop", "reject", "pass")
	if u.ForwardToken != "" && !slices.Contains(c.IssuerNames(), u.ForwardToken) {
		c.oneOf(u.Places.Of("forward_token"), "forward_token", u.ForwardToken, c.IssuerNames()...)
	}
}

// isTokenHeader reports whether an issuer's tokens come in the header.
func (c *checker) isTokenHeader(name IdentityHeader) bool {
	return slices.ContainsFunc(c.Tokens.Issuers, func(i Issuer) bool { return i.Header == TokenHeader(name) })
}

// IssuerNames are the names of all issuers, our own first.
func (c *Config) IssuerNames() []string {
	var names []string
	if c.UsesOwnIDP() {
		names = append(names, ownIssuer)
	}
	for _, i := range c.Tokens.Issuers {
		names = append(names, i.Name)
	}
	return names
}

// UpstreamNames are the names of all upstreams, sorted.
func (c *Config) UpstreamNames() []string { return slices.Sorted(maps.Keys(c.Upstreams)) }

func (c *checker) isBelowDomain(host string) bool {
	return request.IsHostName(host) && (c.Domain == "" || strings.HasSuffix(host, "."+c.Domain))
}

func isLabel(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return s != "" && len(s) <= 63
}

// isHomeURL reports whether s is a path, or an https address, which every browser reads in the same way.
func isHomeURL(s string) bool {
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"<>\`, r) }) {
		return false
	}
	u, err := url.Parse(s)
	if err != nil || u.User != nil || strings.HasPrefix(s, "//") {
		return false
	}
	return strings.HasPrefix(s, "/") || strings.HasPrefix(s, "https://") && request.IsHostName(u.Hostname()) && (u.Host == u.Hostname() || u.Port() != "0" && isAddress(":"+u.Port()))
}

// isUpstreamURL reports whether s is http://host or http://host:port.
func isUpstreamURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && u.Hostname() != "" && (u.Port() == "" || isAddress(":"+u.Port())) && u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
}

// isSecureURL reports whether s is an https address, or an http one of this machine.
func isSecureURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := err == nil && addr.IsLoopback() || u.Hostname() == "localhost"
	return u.Scheme == "https" || u.Scheme == "http" && local
}

package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

func (c *checker) checkCertificates() {
	t := c.Certificates
	if t == nil || t.Source == "" {
		return
	}
	if t.Source != "cloudflare" {
		for _, key := range []string{"email", "api_token", "ca", "ca_roots", "eab", "api_base", "challenge_domain", "dns"} {
			if t.isSet(key) {
				c.errorf(t.Places.Of(key), "certificates.%s goes with source: cloudflare", key)
			}
		}
	}
	if t.Source != "files" && t.isSet("files") {
		c.errorf(t.Places.Of("files"), "certificates.files goes with source: files")
	}
	switch at := t.Places.Of("source"); t.Source {
	case "cloudflare":
		c.checkCertificateNames()
		c.checkCloudflare()
	case "files":
		if len(t.Files) == 0 {
			c.errorf(at, "certificates.source: files needs `files: [ { certificate: …, key: … } ]`")
		}
		if t.isSet("names") {
			c.errorf(t.Places.Of("names"), "with certificates.source: files, the names are those of the files")
		}
	case "local":
		c.checkCertificateNames()
	default:
		c.oneOf(at, "certificates.source", t.Source, "cloudflare", "files", "local")
	}
}

// checkCertificateNames is about the names of the certificates.
func (c *checker) checkCertificateNames() {
	t := c.Certificates
	if !t.isSet("names") {
		return
	}
	at := t.Places.Of("names")
	if len(t.Names) == 0 {
		c.errorf(at, "certificates.names is empty; leave it out for the domain and the wildcard below it")
	}
	seen := map[string]bool{}
	for _, name := range t.Names {
		host := strings.TrimPrefix(name, "*.")
		switch {
		case name == "" || c.Domain == "": // not known
		case !request.IsHostName(host):
			c.errorf(at, "%q is no name of a certificate; one is written viloforge.com or \"*.viloforge.com\"", name)
		case t.Source == "cloudflare" && !strings.Contains(host, "."):
			c.errorf(at, "%q has one label only, and no authority signs for that", name)
		case t.Source == "local" && host != c.Domain && !c.isBelowDomain(host):
			c.errorf(at, "%q is not below the domain %s, and the local CA may not sign for it", name, c.Domain)
		case seen[name]:
			c.errorf(at, "%q stands in certificates.names twice", name)
		}
		seen[name] = true
	}
}

// checkCloudflare is about an authority and Cloudflare's DNS.
func (c *checker) checkCloudflare() {
	t := c.Certificates
	if !t.isSet("api_token") {
		c.errorf(t.Places.Of(""), "certificates.source: cloudflare needs `api_token`: a Cloudflare API token with Zone / Zone / Read and Zone / DNS / Edit")
	}
	if strings.ContainsAny(t.APIToken, " \t\r\n\"") {
		c.errorf(t.Places.Of("api_token"), "certificates.api_token holds a character that no token has: a space, a quote or a line break")
	}
	if t.Email != "" && (strings.Count(t.Email, "@") != 1 || strings.ContainsAny(t.Email, " \t\r\n,<>") || !request.IsHostName(t.Email[strings.IndexByte(t.Email, '@')+1:])) {
		c.errorf(t.Places.Of("email"), "%q is no e-mail address", t.Email)
	}
	if t.CA != "" && !isACMEDirectory(t.CA) {
		c.errorf(t.Places.Of("ca"), "certificates.ca is the https address of an ACME directory, or staging")
	}
	if t.APIBase != "" && !isSecureURL(t.APIBase) {
		c.errorf(t.Places.Of("api_base"), "certificates.api_base is written https://host/path (http:// only for a loopback address)")
	}
	if t.ChallengeDomain != "" && !isRecordName(t.ChallengeDomain) {
		c.errorf(t.Places.Of("challenge_domain"), "%q is no name of a record; one is written acme.example.net", t.ChallengeDomain)
	}
	if t.EAB != nil && t.EAB.MACKey != "" {
		if _, err := base64.RawURLEncoding.DecodeString(t.EAB.MACKey); err != nil {
			c.errorf(t.Places.Of("eab"), "certificates.eab.mac_key is not base64url, as authorities give it")
		}
	}
	d := t.DNS
	for _, r := range d.Resolvers {
		if r != "" && !isResolver(r) {
			c.errorf(d.Places.Of("resolvers"), "%q is no resolver; one is written 127.0.0.1:53 or 1.1.1.1", r)
		}
	}
	if p := d.PropagationTimeout; p < seconds(10) || p > seconds(3600) {
		c.errorf(placeOfKey(d.Places, t.Places, "propagation_timeout"), "certificates.dns.propagation_timeout must be from 10s to 1h, it is %s", p)
	}
}

// placeOfKey is where a key of dns stands; where dns is not given, where it would.
func placeOfKey(inner, outer strictyaml.Places, key string) strictyaml.Place {
	if inner == nil {
		return outer.Of("dns")
	}
	return inner.Of(key)
}

// isACMEDirectory reports whether s can be the address of an ACME directory.
func isACMEDirectory(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == "" && u.RawQuery == ""
}

func isResolver(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, "53"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	return err == nil && number > 0 && (net.ParseIP(host) != nil || request.IsHostName(host))
}

// CheckACME says what is wrong with values that would stand under certificates:, and did not come from a file. The
// error names none of them that may hold a secret. "" is left out.
func CheckACME(host, directory, apiBase, challengeDomain string, resolvers []string) error {
	switch {
	case host != "" && (!request.IsHostName(host) || !strings.Contains(host, ".")):
		return fmt.Errorf("%q is no name of a host; one has lower case letters, digits and - only", host)
	case directory != "" && !isACMEDirectory(directory):
		return errors.New("the authority's directory is an https address without a user, or staging")
	case apiBase != "" && !isSecureURL(apiBase):
		return errors.New("the base of Cloudflare's API is written https://host/path (http:// only for a loopback address)")
	case challengeDomain != "" && !isRecordName(challengeDomain):
		return fmt.Errorf("%q is no name of a record; one is written acme.example.net", challengeDomain)
	}
	for _, r := range resolvers {
		if !isResolver(r) {
			return fmt.Errorf("%q is no resolver; one is written 127.0.0.1:53 or 1.1.1.1", r)
		}
	}
	return nil
}

// isRecordName reports whether a TXT record can have the name.
func isRecordName(s string) bool {
	return request.IsHostName(strings.ReplaceAll(s, "_", "x")) && strings.Contains(s, ".")
}

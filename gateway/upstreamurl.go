package gateway

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// checkUpstreamURL says what is wrong with an address of an upstream, which another one of it is beside.
func checkUpstreamURL(u, beside *url.URL) error {
	prefix := prefixOf(u)
	switch u.Scheme {
	case "unix":
		if u.Host != "" || u.RawQuery != "" || u.Fragment != "" || !path.IsAbs(u.Path) || path.Clean(u.Path) != u.Path {
			return fmt.Errorf("%q is not of the form unix:/path", u.Redacted())
		}
	case "http", "https", "h2c", "h2":
		if u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("%q is not of the form http://host:port", u.Redacted())
		}
		if canonical, err := request.ParsePath(prefix + "/"); err != nil || canonical.String() != prefix+"/" || canonical.Ambiguities() != 0 {
			return fmt.Errorf("the path of %q is not canonical", u.Redacted())
		}
	default:
		return fmt.Errorf("%q is not of the form http://host:port", u.Redacted())
	}
	if isHTTP2(u) != isHTTP2(beside) {
		return fmt.Errorf("of %q and %q, one alone speaks HTTP/2", u.Redacted(), beside.Redacted())
	}
	if prefix != prefixOf(beside) {
		return fmt.Errorf("%q and %q have different paths", u.Redacted(), beside.Redacted())
	}
	return nil
}

// prefixOf is what paths are put behind at an address; "" for nothing. A path that is canonical begins with a slash and has no dot
// segments, at no depth of encoding; so what is put behind one that is canonical stays below it.
func prefixOf(u *url.URL) string {
	if u.Scheme == "unix" {
		return ""
	}
	return strings.TrimSuffix(u.EscapedPath(), "/")
}

// isHTTP2 reports whether HTTP/2 is spoken at an address: with prior knowledge (RFC 9113, section 3.3), or in TLS, where it is negotiated
// or there is no connection. What an https address might negotiate besides is not asked: what a request may be, as a WebSocket or one
// that logs a connection in, would depend on what each connection came to.
func isHTTP2(u *url.URL) bool { return u.Scheme == "h2c" || u.Scheme == "h2" }

// nameOf is how an address is called: without what goes without saying.
func nameOf(u *url.URL) string {
	if u.Scheme == "unix" {
		return "unix:" + u.Path
	}
	return strings.TrimPrefix(u.Scheme+"://", "http://") + u.Host + prefixOf(u)
}

// hostOf is the Host header of a health check.
func hostOf(u *url.URL) string { return cmp.Or(u.Host, "localhost") }

// dialAddress is where connections to an address lead.
func dialAddress(u *url.URL) string {
	if u.Scheme == "unix" {
		return "unix:" + u.Path
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "h2c": "80", "h2": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

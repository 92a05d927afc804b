package idp

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// maxRedirectURI is the longest address that a login returns to.
const maxRedirectURI = 8 << 10

// redirectURI is where a step of the login goes when it is done: an address that was judged, byte for byte as it came.
type redirectURI struct {
	uri string
	// origin is the address's, for the policy of pages whose form leads there; empty for a path of the login host.
	origin string
	// isHome says that it is where people go who brought no usable address.
	isHome bool
}

// host is what people know the address by.
func (r redirectURI) host() string {
	host, _, _ := strings.Cut(strings.TrimPrefix(r.origin, "https://"), ":")
	return host
}

// RedirectPolicy is the allowlist of addresses that a login may return to (no open redirect). It never changes once it is made.
type RedirectPolicy struct {
	hosts []string // exact, or "*." for one label
	port  string   // the public one
	login string   // the login host
	home  redirectURI
}

// CheckReturnHost refuses a host that no login can return to, exact or with "*." before it for one label.
func CheckReturnHost(host string) error {
	if !request.IsHostName(strings.TrimPrefix(host, "*.")) {
		return fmt.Errorf("%q is no host, exact or with \"*.\" before it, to return to", host)
	}
	return nil
}

// NewRedirectPolicy checks the hosts that a login may return to (see [CheckReturnHost]) and the home, where one without a usable
// return address ends: a path of the login host, or an https address; /account where it is empty.
func NewRedirectPolicy(hosts []string, home, login string, port int) (*RedirectPolicy, error) {
	r := &RedirectPolicy{hosts: slices.Clone(hosts), login: login, port: strconv.Itoa(port)}
	for _, host := range hosts {
		if err := CheckReturnHost(host); err != nil {
			return nil, err
		}
	}
	if home == "" {
		home = "/account"
	}
	r.home = redirectURI{uri: home, isHome: true}
	if strings.HasPrefix(home, "/") && !strings.HasPrefix(home, "//") && isUnambiguousRest(home) {
		return r, nil
	}
	authority, ok := splitHTTPS(home)
	if !ok {
		return nil, errors.New("home is a path of the login host, /account, or an https address")
	}
	r.home.origin = "https://" + authority
	return r, nil
}

// resolve returns the address that redirect_uri in a URL's query asks for, or home.
func (r *RedirectPolicy) resolve(query string) redirectURI {
	// What cannot be parsed in the rest of the query is not ours to judge.
	values, err := url.ParseQuery(query)
	if wanted := values["redirect_uri"]; err == nil && len(wanted) == 1 {
		if to, ok := r.validate(wanted[0]); ok {
			return to
		}
	}
	return r.home
}

// validate accepts an address in which every parser finds the same host (open redirect): https, a plain host name, the public port, and
// then a path, a query or nothing. That host must be one to return to.
func (r *RedirectPolicy) validate(address string) (redirectURI, bool) {
	authority, ok := splitHTTPS(address)
	if !ok || len(address) > maxRedirectURI {
		return redirectURI{}, false
	}
	host, port, _ := strings.Cut(authority, ":")
	if port == "" {
		port = "443"
	}
	if port != r.port {
		return redirectURI{}, false
	}
	if host == r.login {
		// Of our own pages only this is a place to be; a login that returned to a login would go in circles.
		return redirectURI{uri: "/account"}, address == "https://"+authority+"/account"
	}
	if !slices.ContainsFunc(r.hosts, func(pattern string) bool { return matchesHost(pattern, host) }) {
		return redirectURI{}, false
	}
	return redirectURI{uri: address, origin: "https://" + authority}, true
}

func matchesHost(pattern, host string) bool {
	parent, wildcard := strings.CutPrefix(pattern, "*.")
	if !wildcard {
		return host == pattern
	}
	_, hostParent, ok := strings.Cut(host, ".")
	return ok && hostParent == parent
}

// splitHTTPS returns the authority of an https address, host or host:port, when the address is plain from one end to
// the other.
func splitHTTPS(address string) (authority string, ok bool) {
	rest, ok := strings.CutPrefix(address, "https://")
	if !ok {
		return "", false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, rest = rest[:end], rest[end:]
	host, port, hasPort := strings.Cut(authority, ":")
	if hasPort {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", false
		}
	}
	return authority, request.IsHostName(host) && isUnambiguousRest(rest)
}

// isUnambiguousRest reports whether path, query and fragment hold only what browsers send as it is: no space, no control, nothing
// beyond ASCII, and in the path no invalid escape and no backslash, which browsers read as a slash.
func isUnambiguousRest(rest string) bool {
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' {
			return false
		}
	}
	path, _, _ := strings.Cut(rest, "?")
	path, _, _ = strings.Cut(path, "#")
	_, err := url.PathUnescape(path)
	return err == nil && !strings.Contains(path, `\`)
}

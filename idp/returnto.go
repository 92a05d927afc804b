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

// redirectURI is where a step of the login goes when it is done: an address that was judged, byte for byte as it came.
type redirectURI struct {
	uri string
	// origin is the address's, for the policy of pages whose form leads there; empty for a path of the login host.
	origin string
	// isHome says that it is where people go who brought no usable address.
	isHome bool
	// shortened says that the address that was asked for was too long to be kept, and this is the start page of its host.
	shortened bool
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
	if to, ok := r.wanted(query); ok {
		return to
	}
	return r.home
}

// wanted returns the address that redirect_uri in a URL's query asks for, where it is one to return to.
func (r *RedirectPolicy) wanted(query string) (redirectURI, bool) {
	// What cannot be parsed in the rest of the query is not ours to judge.
	values, err := url.ParseQuery(query)
	wanted := values["redirect_uri"]
	if err != nil || len(wanted) != 1 {
		return redirectURI{}, false
	}
	to, ok := r.validate(wanted[0])
	to.shortened = to.shortened || ok && values.Has(request.ReturnURLTooLong)
	return to, ok
}

// validate accepts an address in which every parser finds the same host (open redirect): https, a plain host name, the public port, and
// then a path, a query or nothing. That host must be one to return to. Of an address that is too long the host's start page is
// left.
func (r *RedirectPolicy) validate(address string) (redirectURI, bool) {
	authority, ok := splitHTTPS(address)
	if !ok {
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
		return r.validateAccount(strings.TrimPrefix(address, "https://"+authority), authority)
	}
	if !slices.ContainsFunc(r.hosts, func(pattern string) bool { return matchesHost(pattern, host) }) {
		return redirectURI{}, false
	}
	to := redirectURI{uri: address, origin: "https://" + authority}
	if len(address) > request.MaxReturnURL {
		to.uri, to.shortened = to.origin+"/", true
	}
	return to, true
}

// validateAccount accepts the account page, also where it knows an address to lead back to.
func (r *RedirectPolicy) validateAccount(path, authority string) (redirectURI, bool) {
	query, hasQuery := strings.CutPrefix(path, accountPath+"?redirect_uri=")
	if !hasQuery {
		return redirectURI{uri: accountPath}, path == accountPath
	}
	address, err := url.QueryUnescape(query)
	if own, ok := splitHTTPS(address); err != nil || !ok || own == authority {
		return redirectURI{}, false
	}
	back, ok := r.validate(address)
	return redirectURI{uri: back.accountURL()}, ok && back.origin != "" && path == back.accountURL()
}

// accountPath is the account page's.
const accountPath = "/account"

// accountURL is the account page that leads back to the address; without one where there is none.
func (r redirectURI) accountURL() string {
	if r.origin == "" {
		return accountPath
	}
	return accountPath + "?redirect_uri=" + url.QueryEscape(r.uri)
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

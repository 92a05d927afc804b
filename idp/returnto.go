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

// maxReturnAddress is the longest address that a login returns to.
const maxReturnAddress = 8 << 10

// returnAddress is where a step of the login goes when it is done: an address that was judged, byte for byte as it came.
type returnAddress struct {
	address string
	// origin is the address's, for the policy of pages whose form leads there; empty for a path of the login host.
	origin string
	// home says that it is where people go who brought no usable address.
	home bool
}

// host is what people know the address by.
func (r returnAddress) host() string {
	host, _, _ := strings.Cut(strings.TrimPrefix(r.origin, "https://"), ":")
	return host
}

// Returns knows the addresses that a login may return to. It never changes once it is made.
type Returns struct {
	hosts []string // exact, or "*." for one label
	port  string   // the public one
	login string   // the login host
	home  returnAddress
}

// CheckReturnHost refuses a host that no login can return to, exact or with "*." before it for one label.
func CheckReturnHost(host string) error {
	if !request.IsHostName(strings.TrimPrefix(host, "*.")) {
		return fmt.Errorf("%q is no host, exact or with \"*.\" before it, to return to", host)
	}
	return nil
}

// NewReturns checks the hosts that a login may return to (see [CheckReturnHost]) and the home, where one without a usable
// return address ends: a path of the login host, or an https address; /account where it is empty.
func NewReturns(hosts []string, home, login string, port int) (*Returns, error) {
	r := &Returns{hosts: slices.Clone(hosts), login: login, port: strconv.Itoa(port)}
	for _, host := range hosts {
		if err := CheckReturnHost(host); err != nil {
			return nil, err
		}
	}
	if home == "" {
		home = "/account"
	}
	r.home = returnAddress{address: home, home: true}
	if strings.HasPrefix(home, "/") && !strings.HasPrefix(home, "//") && plainRest(home) {
		return r, nil
	}
	authority, ok := splitAddress(home)
	if !ok {
		return nil, errors.New("home is a path of the login host, /account, or an https address")
	}
	r.home.origin = "https://" + authority
	return r, nil
}

// of returns the address that a URL's query asks to return to, or home.
func (r *Returns) of(query string) returnAddress {
	// What cannot be parsed in the rest of the query is not ours to judge.
	values, err := url.ParseQuery(query)
	if wanted := values["redirect_uri"]; err == nil && len(wanted) == 1 {
		if to, ok := r.judge(wanted[0]); ok {
			return to
		}
	}
	return r.home
}

// judge lets an address pass whose every reader finds the same host in it: https, a plain host name, the public port, and
// then a path, a query or nothing. That host must be one to return to.
func (r *Returns) judge(address string) (returnAddress, bool) {
	authority, ok := splitAddress(address)
	if !ok || len(address) > maxReturnAddress {
		return returnAddress{}, false
	}
	host, port, _ := strings.Cut(authority, ":")
	if port == "" {
		port = "443"
	}
	if port != r.port {
		return returnAddress{}, false
	}
	if host == r.login {
		// Of our own pages only this is a place to be; a login that returned to a login would go in circles.
		return returnAddress{address: "/account"}, address == "https://"+authority+"/account"
	}
	if !slices.ContainsFunc(r.hosts, func(pattern string) bool { return matchesHost(pattern, host) }) {
		return returnAddress{}, false
	}
	return returnAddress{address: address, origin: "https://" + authority}, true
}

func matchesHost(pattern, host string) bool {
	parent, wild := strings.CutPrefix(pattern, "*.")
	if !wild {
		return host == pattern
	}
	_, above, ok := strings.Cut(host, ".")
	return ok && above == parent
}

// splitAddress returns the authority of an https address, host or host:port, when the address is plain from one end to
// the other.
func splitAddress(address string) (authority string, ok bool) {
	rest, ok := strings.CutPrefix(address, "https://")
	if !ok {
		return "", false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, rest = rest[:end], rest[end:]
	host, port, ported := strings.Cut(authority, ":")
	if ported {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
			return "", false
		}
	}
	return authority, request.IsHostName(host) && plainRest(rest)
}

// plainRest reports whether path, query and fragment hold only what browsers send as it is: no space, no control, nothing
// beyond ASCII, and in the path no invalid escape and no backslash, which browsers read as a slash.
func plainRest(rest string) bool {
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

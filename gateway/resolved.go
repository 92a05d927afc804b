package gateway

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/resolve"
)

// firstLookups bounds how long a generation waits for the addresses of names that are new in it.
const firstLookups = 2 * time.Second

// errUnresolved is the error of a request while no name of its upstream has an address: it was not sent.
var errUnresolved error = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("none of its names is resolved yet")}

// place is where an address of an upstream leads.
type place struct {
	name string // how it is called
	dial string // what connections are made to
}

// nameIn is the name in an address that is to be looked up again; false where there is none.
func (u *upstream) nameIn(address *url.URL) (resolve.Name, bool) {
	host := address.Hostname()
	if _, err := netip.ParseAddr(host); u.Resolve <= 0 || address.Scheme == "unix" || err == nil {
		return resolve.Name{}, false
	}
	return resolve.Name{Host: host, Resolver: u.Resolver}, true
}

// names are all that are to be looked up, and how often at least.
func (gen *Generation) names() map[resolve.Name]time.Duration {
	all := map[resolve.Name]time.Duration{}
	for u := range gen.everyUpstream() {
		for _, address := range u.URLs {
			if name, ok := u.nameIn(address); ok && (all[name] == 0 || u.Resolve < all[name]) {
				all[name] = u.Resolve
			}
		}
	}
	return all
}

// places are where an address leads: one place, or of a name that is looked up again one for each host that it has; none while it
// has none. A name of this machine keeps its own name alone.
func (u *upstream) places(names *resolve.Names, address *url.URL) []place {
	dial := dialAddress(address)
	name, ok := u.nameIn(address)
	if !ok {
		return []place{{nameOf(address), dial}}
	}
	var all []place
	_, port, _ := net.SplitHostPort(dial)
	found := names.Addresses(name)
	for _, host := range resolve.Hosts(found) {
		var texts, dials []string
		for _, one := range host {
			texts, dials = append(texts, one.String()), append(dials, net.JoinHostPort(one.String(), port))
		}
		called := nameOf(address)
		if !isLocal(found) {
			called += " " + strings.Join(texts, ",")
		}
		all = append(all, place{called, strings.Join(dials, ",")})
	}
	return all
}

// isLocal reports whether addresses are those of localhost.
func isLocal(all []netip.Addr) bool {
	return len(resolve.Hosts(all)) == 1 && !slices.ContainsFunc(all, func(a netip.Addr) bool {
		return a != netip.IPv6Loopback() && a != netip.AddrFrom4([4]byte{127, 0, 0, 1})
	})
}

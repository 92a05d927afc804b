package resolve

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Name is a name to be resolved.
type Name struct {
	Host     string
	Resolver string // host:port of the DNS server that is asked; "" for what the system says
}

// String is how the name is called.
func (n Name) String() string {
	if n.Resolver == "" {
		return n.Host
	}
	return n.Host + " at " + n.Resolver
}

// Answer is what a lookup brought.
type Answer struct {
	// Addresses are in the order in which they are to be tried (RFC 6724); at least one where there is no error.
	Addresses []netip.Addr
	// TTL is for how long that is true, or with an error, that there is none: the least of what the servers said. Negative: nobody did.
	TTL time.Duration
}

// Lookup resolves a name.
type Lookup func(ctx context.Context, name Name) (Answer, error)

// Ask is a Lookup: hosts files, and DNS, by the resolver of Go, whose connections are listened on for what it does not tell.
func Ask(ctx context.Context, name Name) (Answer, error) {
	var dialer net.Dialer
	recorder := newTTLRecorder()
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, server string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, cmp.Or(name.Resolver, server))
		if err != nil {
			return nil, err
		}
		return recorder.wrap(conn), nil
	}}
	found, err := resolver.LookupNetIP(ctx, "ip", name.Host)
	var failed *net.DNSError
	if errors.As(err, &failed) && name.Resolver != "" {
		failed.Server = name.Resolver // else it says whom the system would have asked
	}
	switch {
	case err == nil:
		for i := range found {
			found[i] = found[i].Unmap()
		}
		return Answer{reachable(found), recorder.ttl(true)}, nil
	case failed != nil && failed.IsNotFound:
		return Answer{TTL: recorder.ttl(false)}, err
	}
	return Answer{TTL: noTTL}, err
}

// Hosts are the addresses by the hosts that they are of: one of IPv4 beside one of IPv6 are the same host's, more are a host each.
func Hosts(addresses []netip.Addr) (hosts [][]netip.Addr) {
	if len(addresses) == 2 && addresses[0].Is4() != addresses[1].Is4() {
		return [][]netip.Addr{addresses}
	}
	for i := range addresses {
		hosts = append(hosts, addresses[i:i+1])
	}
	return hosts
}

// reachable leaves out those of several addresses to which this machine has no route, as IPv6 where there is none; all of them, if
// there is no route to any.
func reachable(addresses []netip.Addr) []netip.Addr {
	if len(Hosts(addresses)) < 2 {
		return addresses
	}
	left := slices.DeleteFunc(slices.Clone(addresses), func(a netip.Addr) bool {
		conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 9))) // sends nothing
		if err != nil {
			return true
		}
		_ = conn.Close() // nothing was sent
		return false
	})
	if len(left) == 0 {
		return addresses
	}
	return left
}

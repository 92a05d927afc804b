package request

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Proxies says which peers are believed about who asks, and what of that they send counts: X-Forwarded-For, where nothing
// else is said.
type Proxies struct {
	// Networks are those of the trusted proxies.
	Networks []netip.Prefix
	// Headers hold one address each, and count instead of any list: the first of them that is there. The names are canonical.
	Headers []string
	// Forwarded has RFC 7239's Forwarded count instead of X-Forwarded-For.
	Forwarded bool
}

// Client is who asks, as far as the peer can be believed, and the name of the one of p.Headers that says so, or "". An
// address that the peer does not know, or does not say in one way only, is the zero Addr, which is in no network; where
// nothing is said, it is the peer.
func (p *Proxies) Client(peer netip.Addr, header map[string][]string) (client netip.Addr, by string) {
	peer = plainAddress(peer)
	if !InNetworks(p.Networks, peer) {
		return peer, ""
	}
	for _, name := range p.Headers {
		switch lines := header[name]; len(lines) {
		case 0:
		case 1:
			return ParseAddress(TrimOWS(lines[0])), name
		default:
			return netip.Addr{}, name
		}
	}
	switch {
	case len(p.Headers) > 0:
		return peer, ""
	case p.Forwarded:
		return walk(peer, header["Forwarded"], p.Networks, lastForwarded, parseForwarded), ""
	}
	return ClientAddress(peer, header["X-Forwarded-For"], p.Networks), ""
}

// ClientAddress is who asks, as far as trusted proxies can be believed: it walks X-Forwarded-For from its end, where the
// nearest proxy wrote, to the first address that is not a trusted proxy's. What stands before that was written by
// strangers. Where everybody in the list is trusted it is the first of them; without a line, the peer.
//
// An entry that is no address ("unknown", an obfuscated name, an empty one) means that the proxy does not know: nobody knows then, and
// the answer is the zero Addr, which is in no network. It is never the proxy itself.
func ClientAddress(peer netip.Addr, forwardedFor []string, trusted []netip.Prefix) netip.Addr {
	return walk(plainAddress(peer), forwardedFor, trusted, lastComma, ParseAddress)
}

// walk walks the lines of a list from its end to the first address that is not trusted. last finds the comma before the
// last entry of a line, or -1; parse reads an entry.
func walk(client netip.Addr, lines []string, trusted []netip.Prefix, last func(string) int, parse func(string) netip.Addr) netip.Addr {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			if !InNetworks(trusted, client) {
				return client
			}
			entry := line
			if i := last(line); i >= 0 {
				line, entry = line[:i], line[i+1:]
			} else {
				more = false
			}
			client = parse(TrimOWS(entry))
		}
	}
	return client
}

func lastComma(line string) int { return strings.LastIndexByte(line, ',') }

// InNetworks reports whether an address is in one of the networks. One that is not known, the zero Addr, is in none.
func InNetworks(networks []netip.Prefix, address netip.Addr) bool {
	address = plainAddress(address)
	return slices.ContainsFunc(networks, func(network netip.Prefix) bool { return network.Contains(address) })
}

// ParseNetwork reads a network, 10.0.0.0/8, or a single address, which is a network of one. It fails where s is neither, has
// bits beyond its mask, or is IPv4 written as IPv6 (RFC 4291, section 2.5.5.2), in which no address would ever be.
func ParseNetwork(s string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(s); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(s)
	const mapped = 96 // bits before the IPv4 address
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("no network; one is written 10.0.0.0/8, 192.0.2.7 or fd00::/8")
	case network.Addr().Is4In6() && network.Bits() >= mapped:
		return netip.Prefix{}, fmt.Errorf("IPv4 written as IPv6; the network is %s", netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mapped).Masked())
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("bits beyond its mask; the network is %s", network.Masked())
	}
	return network, nil
}

// AddressText is an address as logs and forwarded headers have it: "unknown" (RFC 7239, section 6.2) for the zero Addr.
func AddressText(address netip.Addr) string {
	if !address.IsValid() {
		return "unknown"
	}
	return address.String()
}

// clientBits is how much of an IPv6 address is not its owner's to choose: one household or machine has the rest to itself.
const clientBits = 64

// ClientNetwork is what a client's requests are counted by: its address, of IPv6 the network that one household or machine
// has to itself. It is the zero Prefix for all whose address is not known.
func ClientNetwork(client netip.Addr) netip.Prefix {
	client = plainAddress(client)
	return netip.PrefixFrom(client, min(client.BitLen(), clientBits)).Masked()
}

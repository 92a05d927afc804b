package request

import (
	"net/netip"
	"strings"
)

// ows is the optional whitespace around the elements of a list (RFC 9110, section 5.6.3).
const ows = " \t"

// TrimOWS is s without the optional whitespace around it.
func TrimOWS(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// ParseAddress reads an IP address as peers and proxies write it: alone or with a port, IPv6 in brackets or without. IPv4
// in the clothes of IPv6 becomes IPv4, and a zone is dropped. It is the zero Addr where s is none.
func ParseAddress(s string) netip.Addr {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			if address, err := netip.ParseAddr(inner); err == nil && address.Is6() {
				return plainAddress(address)
			}
			return netip.Addr{}
		}
	} else if strings.Count(s, ":") != 1 { // an IPv4 address with a port has one, and an error of ParseAddr is not free
		if address, err := netip.ParseAddr(s); err == nil {
			return plainAddress(address)
		}
	}
	peer, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.Addr{}
	}
	return plainAddress(peer.Addr())
}

func plainAddress(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }

package analysis

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/viloforge/vilogate/policies"
)

// networks are conditions on the address: the networks cut the addresses into regions. That nobody knows the address is a
// case of its own only where a not could make a difference between that and an address outside.
func (s *space) networks(conditions, roots []*policies.Condition) {
	var all []netip.Prefix
	for _, c := range conditions {
		all = append(all, c.Networks...)
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int { return cmp.Or(a.Addr().Compare(b.Addr()), a.Bits()-b.Bits()) })
	all = slices.Compact(all)
	var values []value
	var regions [][]bool
	region := func(text string, address netip.Addr) {
		in := make([]bool, len(conditions))
		for i, c := range conditions {
			in[i] = slices.ContainsFunc(c.Networks, func(n netip.Prefix) bool { return n.Contains(address) })
		}
		if slices.ContainsFunc(regions, func(other []bool) bool { return slices.Equal(other, in) }) {
			return
		}
		regions = append(regions, in)
		values = append(values, value{text: text, apply: func(p *person) { p.client = address }})
	}
	outside := []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32"),
		netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"),
	}
	for _, n := range outside {
		if address, ok := freeAddress(n, all); ok {
			region("from an address outside of these networks", address)
			break
		}
	}
	for _, n := range all {
		if address, ok := freeAddress(n, slices.DeleteFunc(slices.Clone(all), func(o netip.Prefix) bool { return o.Bits() <= n.Bits() })); ok {
			region("from "+n.String(), address)
		}
	}
	unknown := anyNegated(roots, func(leaf *policies.Condition) bool { return leaf.Kind == policies.Networks })
	if unknown {
		values = append(values, value{text: "from an address that nobody knows", apply: func(p *person) { p.client = netip.Addr{} }})
	}
	v := s.add(values...)
	for i, c := range conditions {
		s.decides(c, v, func(value int) bool { return value < len(regions) && regions[value][i] })
		if unknown {
			s.atoms[c][0].truth[len(regions)] = policies.Unknown
		}
	}
}

// freeAddress is an address of a network that is in none of the others.
func freeAddress(n netip.Prefix, others []netip.Prefix) (netip.Addr, bool) {
	touched := false
	for _, o := range others {
		if o.Bits() <= n.Bits() && o.Contains(n.Addr()) {
			return netip.Addr{}, false
		}
		touched = touched || n.Overlaps(o)
	}
	if !touched {
		return n.Addr(), true
	}
	lower, upper := halves(n)
	if address, ok := freeAddress(lower, others); ok {
		return address, true
	}
	return freeAddress(upper, others)
}

// halves are the two halves of a network.
func halves(n netip.Prefix) (lower, upper netip.Prefix) {
	bytes := n.Addr().AsSlice()
	bytes[n.Bits()/8] |= 0x80 >> (n.Bits() % 8)
	address, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(n.Addr(), n.Bits()+1), netip.PrefixFrom(address, n.Bits()+1)
}

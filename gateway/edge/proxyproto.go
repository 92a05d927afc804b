package edge

import (
	"net"
	"net/netip"
	"slices"

	proxyproto "github.com/pires/go-proxyproto"
)

// proxied believes the PROXY protocol, version 1 or 2, of trusted peers; they may
// do without it. From anybody else its bytes are just a broken TLS hello.
func (s *Server) proxied(l net.Listener) net.Listener {
	if len(s.opts.TrustedProxies) == 0 {
		return l
	}
	return &proxyproto.Listener{
		Listener:          l,
		ReadHeaderTimeout: handshakeTime,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			peer, err := netip.ParseAddrPort(o.Upstream.String())
			if err == nil && s.trusted(peer.Addr().Unmap()) {
				return proxyproto.USE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}

func (s *Server) trusted(peer netip.Addr) bool {
	return slices.ContainsFunc(s.opts.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(peer) })
}

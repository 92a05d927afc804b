package gateway

import (
	"fmt"
	"net"
	"net/netip"

	proxyproto "github.com/pires/go-proxyproto"
)

// proxyHeader is the PROXY header, of version 1 or 2, that names a client. The destination is the public port at no address: which
// of the gateway's the client has used says nothing. Where nobody knows the client, its address is zero: there is none in the header,
// as in that of the gateway's own, which is what all who read version 2 can read.
func proxyHeader(version byte, client netip.AddrPort, port int) ([]byte, error) {
	if !client.Addr().IsValid() {
		return localProxyHeader(version)
	}
	h := &proxyproto.Header{Version: version, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv6}
	none := netip.IPv6Unspecified()
	if client.Addr().Is4() {
		h.TransportProtocol, none = proxyproto.TCPv4, netip.IPv4Unspecified()
	}
	to := netip.AddrPortFrom(none, uint16(port)) // NewGeneration has seen that it is a port
	h.SourceAddr, h.DestinationAddr = net.TCPAddrFromAddrPort(client), net.TCPAddrFromAddrPort(to)
	return formatProxyHeader(h)
}

// localProxyHeader is that of a connection on which the gateway speaks for itself, as in health checks; nil for version 0.
func localProxyHeader(version byte) ([]byte, error) {
	if version == 0 {
		return nil, nil
	}
	return formatProxyHeader(&proxyproto.Header{Version: version, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC})
}

func formatProxyHeader(h *proxyproto.Header) ([]byte, error) {
	b, err := h.Format()
	if err != nil {
		return nil, fmt.Errorf("gateway: writing a PROXY header: %w", err)
	}
	return b, nil
}

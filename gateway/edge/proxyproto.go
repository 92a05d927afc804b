package edge

import (
	"net"
	"net/netip"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/viloforge/vilogate/policies/request"
)

// acceptProxyProtocol takes the PROXY protocol, version 1 or 2, from peers in the
// trusted networks; they may do without it. From anybody else its bytes are just a broken
// TLS hello.
func acceptProxyProtocol(l net.Listener, trusted []netip.Prefix) net.Listener {
	if len(trusted) == 0 {
		return l
	}
	return proxyListener{l, trusted}
}

type proxyListener struct {
	net.Listener
	trusted []netip.Prefix
}

// Accept implements net.Listener. The header is read later, by the goroutine of
// the connection.
func (l proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	peer, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil || !request.InNetworks(l.trusted, peer.Addr()) {
		return c, nil
	}
	return proxyConn{proxyproto.NewConn(c, proxyproto.WithPolicy(proxyproto.USE), proxyproto.SetReadHeaderTimeout(proxyHeaderTimeout))}, nil
}

type proxyConn struct{ *proxyproto.Conn }

// RemoteAddr is the client's address. Where the proxy speaks for itself, by LOCAL (as in
// a check of health) or without a header, it is the proxy's; where it speaks for a client
// and names none of TCP (UNKNOWN, a Unix socket), nobody knows the client, who is never
// the proxy.
func (c proxyConn) RemoteAddr() net.Addr {
	header := c.ProxyHeader() // nil where there is none, and where it is malformed: then nothing is read
	if header == nil || header.Command.IsLocal() && header.Version == 2 {
		return c.Raw().RemoteAddr()
	}
	if client, _, ok := header.TCPAddrs(); ok {
		return client
	}
	return unknownAddr{}
}

// unknownAddr is an address that nobody knows. [request.ParseAddress] reads it as the zero Addr.
type unknownAddr struct{}

// Network implements net.Addr.
func (unknownAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (unknownAddr) String() string {
	return net.JoinHostPort(request.AddressText(netip.Addr{}), "0")
}

// proxyHeaderTimeout bounds the reading of a PROXY header. A TLS handshake has
// the timeout of a request's header.
const proxyHeaderTimeout = 5 * time.Second

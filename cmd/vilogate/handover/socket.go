package handover

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
)

// Listeners takes the sockets of TCP that listen on an address, host:port, for a setting. A socket from systemd belongs to the
// address, whatever its name is; one from a predecessor to the setting, too, and with port 0 to the setting alone. A loopback
// address means both; no host, or an unspecified address, means all.
func (in *Inherited) Listeners(address, setting string) ([]net.Listener, error) {
	return takeSockets(in, "tcp", address, setting, net.FileListener)
}

// Packets is Listeners for UDP.
func (in *Inherited) Packets(address, setting string) ([]net.PacketConn, error) {
	return takeSockets(in, "udp", address, setting, net.FilePacketConn)
}

func takeSockets[S interface{ Close() error }](in *Inherited, network, address, setting string, make func(*os.File) (S, error)) (all []S, err error) {
	if in == nil {
		return nil, nil
	}
	for {
		f := in.take(func(d Descriptor) bool { return in.fits(d, network, address, setting) })
		if f == nil {
			return all, nil
		}
		s, err := make(f)
		if err == nil {
			all = append(all, s)
		}
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			for _, one := range all {
				_ = one.Close() // the process ends
			}
			return nil, fmt.Errorf("%s %s: the socket that was passed to this process: %w", setting, address, err)
		}
	}
}

// fits reports whether a descriptor is a listener for a setting.
func (in *Inherited) fits(d Descriptor, network, address, setting string) bool {
	host, port, err := net.SplitHostPort(address)
	got, at := socketOf(d.File)
	if err != nil || got != network || in.TakesOver() && d.Name != setting {
		return false
	}
	if in.TakesOver() && port == "0" {
		return sameHost(host, at.Addr())
	}
	return strconv.Itoa(int(at.Port())) == port && sameHost(host, at.Addr())
}

// sameHost reports whether a listener on an address is one that a configured host means.
func sameHost(host string, at netip.Addr) bool {
	if host == "localhost" {
		return at.IsLoopback()
	}
	want, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && want.IsUnspecified():
		return at.IsUnspecified()
	case err == nil && (want == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || want == netip.IPv6Loopback()):
		return at == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || at == netip.IPv6Loopback()
	}
	return err == nil && want.Unmap() == at
}

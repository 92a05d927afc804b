package handover

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// socketOf is the network of a socket that takes connections or packets, and its address; "" for any other file.
func socketOf(f *os.File) (network string, at netip.AddrPort) {
	raw, err := f.SyscallConn()
	if err != nil {
		return "", at
	}
	err = raw.Control(func(fd uintptr) {
		kind, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
		if err != nil {
			return
		}
		name, err := unix.Getsockname(int(fd))
		if err != nil {
			return
		}
		switch a := name.(type) {
		case *unix.SockaddrInet4:
			at = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
		case *unix.SockaddrInet6:
			at = netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
		default:
			return
		}
		listens, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ACCEPTCONN) // of UDP it is 0
		switch {
		case kind == unix.SOCK_STREAM && listens == 1:
			network = "tcp"
		case kind == unix.SOCK_DGRAM:
			network = "udp"
		}
	})
	if err != nil {
		return "", at
	}
	return network, at
}

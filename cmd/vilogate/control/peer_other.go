//go:build !linux

package control

import (
	"net"
	"os"
)

// peerUID is not asked for here: the modes of the socket and its folder are all there is.
func peerUID(net.Conn) (int, error) { return os.Geteuid(), nil }

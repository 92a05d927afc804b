//go:build !linux

package control

import (
	"net"
	"os"
)

// peer is not asked for here: the modes of the socket and its folder are all there is.
func peer(net.Conn) (Caller, error) { return Caller{UID: os.Geteuid(), LoginUID: -1}, nil }

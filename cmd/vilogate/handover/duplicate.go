package handover

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Duplicate makes another descriptor of an open file or socket, for [Start]. Unlike File of package net it leaves the socket as
// it is, for this process goes on with it: the mode that does not block is one for all descriptors of a socket.
func Duplicate(name string, of syscall.Conn) (d Descriptor, err error) {
	raw, err := of.SyscallConn()
	if err != nil {
		return d, fmt.Errorf("handing over %s: %w", name, err)
	}
	var copied int
	var failed error
	err = raw.Control(func(fd uintptr) { copied, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, failed); err != nil {
		return d, fmt.Errorf("handing over %s: %w", name, err)
	}
	return Descriptor{name, os.NewFile(uintptr(copied), name)}, nil
}

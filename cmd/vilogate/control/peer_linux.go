package control

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// peer is the process that connected to a Unix domain socket, or that listens at it (SO_PEERCRED).
func peer(conn net.Conn) (Caller, error) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return Caller{}, errors.New("it is no Unix domain socket")
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return Caller{}, err
	}
	var cred *unix.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		cred, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return Caller{}, err
	}
	if peerErr != nil {
		return Caller{}, peerErr
	}
	return Caller{UID: int(cred.Uid), PID: int(cred.Pid), LoginUID: loginUID(int(cred.Pid))}, nil
}

// noLoginUID is the loginuid of processes outside of a login session, where it is not set.
const noLoginUID = 1<<32 - 1

// loginUID is who logged in to the machine for a process (pam_loginuid), -1 where that is not known.
func loginUID(pid int) int {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/loginuid")
	if err != nil {
		return -1
	}
	uid, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32)
	if err != nil || uid == noLoginUID {
		return -1
	}
	return int(uid)
}

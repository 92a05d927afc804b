package handover

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Notifier tells systemd how the process is (sd_notify). The zero Notifier tells nobody. It is safe for concurrent use.
type Notifier struct{ socket string }

// NewNotifier makes the notifier of a process that systemd has started with Type=notify; of any other, one that tells nobody.
func NewNotifier(getenv func(string) string) Notifier { return Notifier{getenv("NOTIFY_SOCKET")} }

// Ready says that the process serves, and a word about it for people.
func (n Notifier) Ready(status string) error { return n.send("READY=1", "STATUS="+status) }

// Reloading says that the configuration is loaded again; Ready is to follow, whatever comes of it.
func (n Notifier) Reloading() error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("telling systemd of a reload: %w", err)
	}
	return n.send("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10), "STATUS=reloading")
}

// Stopping says that the process drains, and then ends.
func (n Notifier) Stopping() error { return n.send("STOPPING=1", "STATUS=draining") }

// Main says that another process is the service's from now on, and serves. Only the one that is so far is believed
// (NotifyAccess=main).
func (n Notifier) Main(pid int, status string) error {
	return n.send("MAINPID="+strconv.Itoa(pid), "READY=1", "STATUS="+status)
}

func (n Notifier) send(lines ...string) (err error) {
	if n.socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	return nil
}

// Outlived says why another process cannot take over from this one without the service being ended with it; nil where one
// can.
func Outlived(getenv func(string) string) error {
	switch {
	case os.Getpid() == 1:
		return errors.New("this is process 1 of a container, which ends with it: replace the container")
	case getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid()) && getenv("NOTIFY_SOCKET") == "":
		return errors.New("systemd would end the new process with this one, because the unit is not of Type=notify")
	}
	return nil
}

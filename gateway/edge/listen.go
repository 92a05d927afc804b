package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"syscall"
)

// attempts is how often a free port is looked for that both loopbacks have.
const attempts = 20

// Listen listens on addr, the value of the named setting. The loopback address
// (127.0.0.1, ::1 or localhost) means both on the same port, ::1 left out where
// the machine has none; port 0 picks a free one; "off" is no listener. An error
// names the address and the setting.
func Listen(ctx context.Context, addr, setting string) ([]net.Listener, error) {
	var config net.ListenConfig
	return listenOn(addr, setting, func(addr string) (net.Listener, int, error) {
		l, err := config.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, 0, err
		}
		return l, l.Addr().(*net.TCPAddr).Port, nil
	})
}

// ListenPacket is Listen for UDP.
func ListenPacket(ctx context.Context, addr, setting string) ([]net.PacketConn, error) {
	var config net.ListenConfig
	return listenOn(addr, setting, func(addr string) (net.PacketConn, int, error) {
		c, err := config.ListenPacket(ctx, "udp", addr)
		if err != nil {
			return nil, 0, err
		}
		return c, c.LocalAddr().(*net.UDPAddr).Port, nil
	})
}

// listener listens on an address, and says which port that is.
type listener[L io.Closer] func(addr string) (L, int, error)

func listenOn[L io.Closer](addr, setting string, on listener[L]) ([]L, error) {
	if addr == "off" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is not of the form host:port: %w", setting, addr, err)
	}
	if !slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, host) {
		l, _, err := on(addr)
		if err != nil {
			return nil, explain(err, addr, setting)
		}
		return []L{l}, nil
	}
	for range attempts {
		both, err := listenBoth(port, setting, on)
		if port == "0" && errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		return both, err
	}
	return nil, fmt.Errorf("%s %s: no port is free on both 127.0.0.1 and ::1", setting, addr)
}

func listenBoth[L io.Closer](port, setting string, on listener[L]) ([]L, error) {
	addr := net.JoinHostPort("127.0.0.1", port)
	first, taken, err := on(addr)
	if err != nil {
		return nil, explain(err, addr, setting)
	}
	addr = net.JoinHostPort("::1", strconv.Itoa(taken))
	second, _, err := on(addr)
	switch {
	case err == nil:
		return []L{first, second}, nil
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return []L{first}, nil
	default:
		return nil, errors.Join(explain(err, addr, setting), first.Close())
	}
}

// explain says what is wrong with an address, and what would be right.
func explain(err error, addr, setting string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s %s: the port is in use by another process; stop it, or choose another port: %w", setting, addr, err)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s %s: this process may not use the port; ports below 1024 need the capability CAP_NET_BIND_SERVICE: %w", setting, addr, err)
	default:
		return fmt.Errorf("%s %s: %w", setting, addr, err)
	}
}

package edge

import (
	"context"
	"errors"
	"fmt"
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
	if addr == "off" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %q is not of the form host:port: %w", setting, addr, err)
	}
	if !slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, host) {
		l, err := listen(ctx, addr, setting)
		if err != nil {
			return nil, err
		}
		return []net.Listener{l}, nil
	}
	for range attempts {
		both, err := listenBoth(ctx, port, setting)
		if port == "0" && errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		return both, err
	}
	return nil, fmt.Errorf("%s %s: no port is free on both 127.0.0.1 and ::1", setting, addr)
}

func listenBoth(ctx context.Context, port, setting string) ([]net.Listener, error) {
	first, err := listen(ctx, net.JoinHostPort("127.0.0.1", port), setting)
	if err != nil {
		return nil, err
	}
	samePort := strconv.Itoa(first.Addr().(*net.TCPAddr).Port)
	second, err := listen(ctx, net.JoinHostPort("::1", samePort), setting)
	switch {
	case err == nil:
		return []net.Listener{first, second}, nil
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return []net.Listener{first}, nil
	default:
		return nil, errors.Join(err, first.Close())
	}
}

func listen(ctx context.Context, addr, setting string) (net.Listener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s %s: the port is in use by another process; stop it, or choose another port: %w", setting, addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s %s: this process may not use the port; ports below 1024 need the capability CAP_NET_BIND_SERVICE: %w", setting, addr, err)
	default:
		return nil, fmt.Errorf("%s %s: %w", setting, addr, err)
	}
}

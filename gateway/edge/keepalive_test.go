package edge

import (
	"net"
	"syscall"
	"testing"
	"time"
)

// TCP's own probes begin when the limits say, or not at all.
func TestTCPKeepAlive(t *testing.T) {
	t.Parallel()
	for probe, want := range map[time.Duration]struct{ on, idle int }{0: {1, 15}, 40 * time.Second: {1, 40}, -1: {0, 0}} {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener := boundedListeners([]net.Listener{inner}, 1, &Limits{TCPKeepAlive: probe}, nil)[0]
		client, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := accepted.(*boundedConn).Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var on, idle int
		if err := raw.Control(func(fd uintptr) {
			on, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
			idle, _ = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
		}); err != nil {
			t.Fatal(err)
		}
		if on != want.on || want.on == 1 && idle != want.idle {
			t.Errorf("%s: keep-alive is %d, after %d s; want %d, %d", probe, on, idle, want.on, want.idle)
		}
		for _, c := range []interface{ Close() error }{client, accepted, listener} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

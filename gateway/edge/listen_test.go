package edge

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
)

func closeAll(t *testing.T, all []net.Listener) {
	t.Helper()
	for _, l := range all {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestListenOnBothLoopbacks(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "localhost:0"} {
		all, err := Listen(t.Context(), addr, "listen.https")
		if err != nil {
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(all[0].Addr().String())
		if err != nil || port == "0" {
			t.Fatalf("%s: %v %v", addr, all[0].Addr(), err)
		}
		if got := all[0].Addr().String(); got != "127.0.0.1:"+port {
			t.Errorf("%s: the first is %s", addr, got)
		}
		if len(all) == 2 && all[1].Addr().String() != "[::1]:"+port {
			t.Errorf("%s: the second is %s", addr, all[1].Addr())
		}
		closeAll(t, all)
	}
}

func TestListenElsewhere(t *testing.T) {
	t.Parallel()
	if all, err := Listen(t.Context(), "off", "listen.http"); err != nil || all != nil {
		t.Errorf("off: %v %v", all, err)
	}
	for _, addr := range []string{":0", "0.0.0.0:0", "127.0.0.2:0"} {
		all, err := Listen(t.Context(), addr, "listen.https")
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 1 {
			t.Errorf("%s: %d listeners", addr, len(all))
		}
		closeAll(t, all)
	}
}

func TestListenErrorsNameTheAddressAndTheSetting(t *testing.T) {
	t.Parallel()
	taken, err := Listen(t.Context(), "127.0.0.1:0", "listen.test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeAll(t, taken) })
	addr := taken[0].Addr().String()
	for _, row := range []struct{ addr, says string }{
		{addr, "the port is in use"},
		{"127.0.0.1", "host:port"},
		{"127.0.0.1:99999", "99999"},
		{"192.0.2.1:0", "192.0.2.1:0"},
	} {
		_, err := Listen(t.Context(), row.addr, "listen.https")
		if err == nil || !strings.Contains(err.Error(), row.says) || !strings.Contains(err.Error(), row.addr) || !strings.HasPrefix(err.Error(), "listen.https") {
			t.Errorf("%s: %v", row.addr, err)
		}
	}
	if _, err := Listen(t.Context(), addr, "listen.https"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
}

// TestListenLeavesNothingBehind: when one loopback is taken, the other is free again.
func TestListenLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	second, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Logf("no IPv6 here: %v", err)
		return
	}
	t.Cleanup(func() { closeAll(t, []net.Listener{second}) })
	_, port, err := net.SplitHostPort(second.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "127.0.0.1:"+port, "listen.https"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Fatalf("::1 is taken: %v", err)
	}
	first, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	closeAll(t, []net.Listener{first})
}

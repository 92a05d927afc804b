package handover

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func env(all ...string) func(string) string {
	return func(name string) string {
		for _, one := range all {
			if value, ok := strings.CutPrefix(one, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

// TestWhatIsForAnotherProcessIsNotTaken: variables that an ancestor left behind.
func TestWhatIsForAnotherProcessIsNotTaken(t *testing.T) {
	t.Parallel()
	for _, all := range [][]string{
		nil,
		{"LISTEN_FDS=3"},
		{"LISTEN_FDS=3", "LISTEN_PID=1"},
		{"LISTEN_FDS=x", "LISTEN_PID=" + strconv.Itoa(os.Getpid())},
		{"LISTEN_FDS=0", "LISTEN_PID=" + strconv.Itoa(os.Getpid())},
	} {
		if in, err := Inherit(env(all...)); in != nil || err != nil || in.Activated() || in.TakesOver() {
			t.Errorf("%q: %v, %v", all, in, err)
		}
	}
	if in, err := Inherit(env(variable + "=1:own:channel")); err == nil || in != nil {
		t.Errorf("of a process that is not the parent: %v, %v", in, err)
	}
	if in, err := Inherit(env("LISTEN_FDS=999", "LISTEN_PID="+strconv.Itoa(os.Getpid()))); err == nil || in != nil {
		t.Errorf("descriptors that are not open: %v, %v", in, err)
	}
}

func TestASuccessorIsNotToldWhatThisProcessWasStartedWith(t *testing.T) {
	t.Parallel()
	got := environment([]string{"A=1", "LISTEN_PID=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=a", variable + "=1:own:a", "NOTIFY_SOCKET=/x", "LISTEN=2"})
	if want := []string{"A=1", "NOTIFY_SOCKET=/x", "LISTEN=2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHostsOfListeners(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		host, at string
		same     bool
	}{
		{"", "::", true},
		{"", "0.0.0.0", true},
		{"", "127.0.0.1", false},
		{"0.0.0.0", "0.0.0.0", true},
		{"::", "::", true},
		{"127.0.0.1", "::1", true},
		{"::1", "127.0.0.1", true},
		{"localhost", "127.0.0.1", true},
		{"localhost", "0.0.0.0", false},
		{"127.0.0.1", "0.0.0.0", false},
		{"127.0.0.2", "127.0.0.1", false},
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"example.com", "10.0.0.2", false},
	} {
		if got := sameHost(c.host, netip.MustParseAddr(c.at)); got != c.same {
			t.Errorf("a listener on %s for %q: %v", c.at, c.host, got)
		}
	}
}

// TestSocketsAreTakenByTheirAddress: with systemd names mean nothing, and each socket is taken once.
func TestSocketsAreTakenByTheirAddress(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d, err := Duplicate("vilogate.socket", l.(*net.TCPListener))
	if err != nil {
		t.Fatal(err)
	}
	in := &Inherited{left: []Descriptor{d}}
	if got, err := in.Packets(l.Addr().String(), "listen.http3"); len(got) > 0 || err != nil {
		t.Errorf("of UDP: %v, %v", got, err)
	}
	if left := in.Left(); len(left) != 1 || left[0] != "tcp "+l.Addr().String()+" (vilogate.socket)" {
		t.Errorf("left: %q", left)
	}
	got, err := in.Listeners(l.Addr().String(), "listen.https")
	if err != nil || len(got) != 1 || got[0].Addr().String() != l.Addr().String() {
		t.Fatalf("of TCP: %v, %v", got, err)
	}
	if again, err := in.Listeners(l.Addr().String(), "listen.https"); len(again) > 0 || err != nil {
		t.Errorf("a second time: %v, %v", again, err)
	}
	for _, one := range []net.Listener{l, got[0]} {
		if err := one.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestWhoWouldEndTheServiceDoesNotHandOver: systemd, where it was not asked to follow.
func TestWhoWouldEndTheServiceDoesNotHandOver(t *testing.T) {
	t.Parallel()
	pid := "SYSTEMD_EXEC_PID=" + strconv.Itoa(os.Getpid())
	if err := Outlived(env(pid)); err == nil || !strings.Contains(err.Error(), "Type=notify") {
		t.Errorf("a unit of another type: %v", err)
	}
	for _, all := range [][]string{nil, {pid, "NOTIFY_SOCKET=/run/notify"}, {"SYSTEMD_EXEC_PID=1"}} {
		if err := Outlived(env(all...)); err != nil {
			t.Errorf("%q: %v", all, err)
		}
	}
}

package request

import (
	"net/netip"
	"strings"
	"testing"
)

// TestClientAddress: who asks is what the nearest proxy that is not believed said, or nobody's address, and never a
// proxy's because what stands before it cannot be read (tornado#3561: an entry in brackets made strangers internal).
func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	const unknown = "unknown"
	for _, c := range []struct {
		peer  string
		lines []string
		want  string
	}{
		{"10.0.0.1", nil, "10.0.0.1"},
		{"10.0.0.1", []string{""}, "10.0.0.1"},
		{"10.0.0.1", []string{" ", "\t"}, "10.0.0.1"},
		{"192.0.2.1", []string{"198.51.100.1"}, "192.0.2.1"},
		{"192.0.2.1", []string{"unknown"}, "192.0.2.1"},
		{"10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1", []string{"203.0.113.9, 198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1", []string{"203.0.113.9,198.51.100.1\t,10.9.9.9 , fd00::7"}, "198.51.100.1"},
		{"10.0.0.1", []string{"203.0.113.9, 198.51.100.1", "10.2.2.2"}, "198.51.100.1"},
		{"10.0.0.1", []string{"198.51.100.1", "10.2.2.2, 10.3.3.3"}, "198.51.100.1"},
		{"10.0.0.1", []string{"10.2.2.2, 10.3.3.3"}, "10.2.2.2"},
		{"::ffff:10.0.0.1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"fd00::1%eth0", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"10.0.0.1", []string{"198.51.100.1, ::ffff:10.2.2.2"}, "198.51.100.1"},
		{"10.0.0.1", []string{"fe80::1%eth0"}, "fe80::1"},
		{"10.0.0.1", []string{"2001:DB8::1"}, "2001:db8::1"},
		{"10.0.0.1", []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"10.0.0.1", []string{"[2001:db8::1]:443"}, "2001:db8::1"},
		{"10.0.0.1", []string{"[::ffff:192.0.2.1]:443"}, "192.0.2.1"},
		{"10.0.0.1", []string{"192.0.2.1:1234"}, "192.0.2.1"},
		{"10.0.0.1", []string{"198.51.100.1, [fd00::7]:4711, 10.2.2.2:80"}, "198.51.100.1"},
		{"10.0.0.1", []string{"unknown"}, unknown},
		{"10.0.0.1", []string{"_hidden"}, unknown},
		{"10.0.0.1", []string{"198.51.100.1, nonsense"}, unknown},
		{"10.0.0.1", []string{"198.51.100.1, nonsense, 10.2.2.2"}, unknown},
		{"10.0.0.1", []string{"198.51.100.1,"}, unknown},
		{"10.0.0.1", []string{"198.51.100.1", ""}, unknown},
		{"10.0.0.1", []string{"[192.0.2.1]"}, unknown},
		{"10.0.0.1", []string{"[2001:db8::1"}, unknown},
		{"10.0.0.1", []string{"2001:db8::1]"}, unknown},
		{"10.0.0.1", []string{"[2001:db8::1]:x"}, unknown},
		{"10.0.0.1", []string{"192.0.2.1:"}, unknown},
		{"10.0.0.1", []string{"192.0.2.1 192.0.2.2"}, unknown},
		{"10.0.0.1", []string{`"192.0.2.1"`}, unknown},
		{"10.0.0.1", []string{"192.0.2.01"}, unknown},
		{"", []string{"192.0.2.1"}, unknown},
		{"", nil, unknown},
	} {
		var peer netip.Addr
		if c.peer != "" {
			peer = netip.MustParseAddr(c.peer)
		}
		if got := AddressText(ClientAddress(peer, c.lines, trusted)); got != c.want {
			t.Errorf("%s behind %q: %s, want %s", c.peer, c.lines, got, c.want)
		}
	}
	if got := ClientAddress(netip.MustParseAddr("10.0.0.1"), []string{"192.0.2.1"}, nil); got != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("%s is believed by nobody who is trusted", got)
	}
	if InNetworks([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, netip.Addr{}) {
		t.Error("an address that is not known is somewhere")
	}
}

// TestParseNetwork: what is read as a network has addresses in it, as ParseAddress makes them.
func TestParseNetwork(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "fd00::/8": "fd00::/8", "::1": "::1/128", "::/0": "::/0",
		"::ffff:10.0.0.1": "10.0.0.1/32",
	} {
		if got, err := ParseNetwork(text); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"": "no network", "office": "no network", "10.0.0.0/33": "no network", "fe80::1%eth0": "no network", " 10.0.0.1": "no network",
		"10.0.0.1/8":          "the network is 10.0.0.0/8",
		"fd00::1/8":           "the network is fd00::/8",
		"::ffff:10.0.0.0/104": "the network is 10.0.0.0/8",
		"::ffff:10.0.0.1/104": "the network is 10.0.0.0/8",
		"::ffff:0.0.0.0/96":   "the network is 0.0.0.0/0",
		"::ffff:10.0.0.1/128": "the network is 10.0.0.1/32",
		"::ffff:10.0.0.0/95":  "the network is ::fffe:0:0/95",
	} {
		if got, err := ParseNetwork(text); err == nil || !strings.Contains(err.Error(), want) || got.IsValid() {
			t.Errorf("%s: %v, %v; want %s", text, got, err, want)
		}
	}
}

func TestClientNetworks(t *testing.T) { // not parallel, for it counts allocations
	for address, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7/32",
		"::ffff:192.0.2.7":     "192.0.2.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":  "2001:db8:1:2::/64",
		"2001:db8:1:3::1":      "2001:db8:1:3::/64",
		"fe80::1%eth0":         "fe80::/64",
		"::1":                  "::/64",
	} {
		client := netip.MustParseAddr(address)
		if got := ClientNetwork(client); got != netip.MustParsePrefix(want) {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
		if n := testing.AllocsPerRun(100, func() { ClientNetwork(client) }); n != 0 {
			t.Errorf("%s: %v allocations", address, n)
		}
	}
	if got := ClientNetwork(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("of an address that is not known: %v", got)
	}
}

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
		{"10.0.0.1", []string{""}, unknown},
		{"10.0.0.1", []string{" ", "\t"}, unknown},
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

// TestWhatTrustedProxiesSay: of a trusted proxy, the first of the named headers counts, and else one list, and nothing else;
// what is said twice or cannot be read is nobody's address. Of a stranger nothing counts.
func TestWhatTrustedProxiesSay(t *testing.T) {
	t.Parallel()
	const unknown = "unknown"
	header := func(lines ...string) map[string][]string {
		h := map[string][]string{}
		for i := 0; i < len(lines); i += 2 {
			h[lines[i]] = append(h[lines[i]], lines[i+1])
		}
		return h
	}
	headers := []string{"Cf-Connecting-Ip", "True-Client-Ip"}
	for _, c := range []struct {
		proxies  Proxies
		peer     string
		header   map[string][]string
		want, by string
	}{
		{Proxies{}, "10.0.0.1", header("X-Forwarded-For", "192.0.2.1", "Cf-Connecting-Ip", "192.0.2.2"), "192.0.2.1", ""},
		{Proxies{}, "192.0.2.9", header("X-Forwarded-For", "192.0.2.1"), "192.0.2.9", ""},
		{Proxies{Headers: headers}, "192.0.2.9", header("Cf-Connecting-Ip", "192.0.2.1"), "192.0.2.9", ""},
		{Proxies{Headers: headers}, "10.0.0.1", header("Cf-Connecting-Ip", " 192.0.2.1\t", "True-Client-Ip", "192.0.2.2"), "192.0.2.1", "Cf-Connecting-Ip"},
		{Proxies{Headers: headers}, "10.0.0.1", header("True-Client-Ip", "[2001:db8::1]:443"), "2001:db8::1", "True-Client-Ip"},
		{Proxies{Headers: headers}, "::ffff:10.0.0.1", header("True-Client-Ip", "192.0.2.2:443"), "192.0.2.2", "True-Client-Ip"},
		{Proxies{Headers: headers}, "10.0.0.1", header("Cf-Connecting-Ip", "192.0.2.1", "Cf-Connecting-Ip", "192.0.2.1"), unknown, "Cf-Connecting-Ip"},
		{Proxies{Headers: headers}, "10.0.0.1", header("Cf-Connecting-Ip", "192.0.2.1, 192.0.2.2"), unknown, "Cf-Connecting-Ip"},
		{Proxies{Headers: headers}, "10.0.0.1", header("Cf-Connecting-Ip", "", "True-Client-Ip", "192.0.2.2"), unknown, "Cf-Connecting-Ip"},
		{Proxies{Headers: headers}, "10.0.0.1", header("Cf-Connecting-Ip", "unknown"), unknown, "Cf-Connecting-Ip"},
		{Proxies{Headers: headers}, "10.0.0.1", header("X-Forwarded-For", "192.0.2.1", "Forwarded", "for=192.0.2.3"), "10.0.0.1", ""},
		{Proxies{Forwarded: true}, "10.0.0.1", header("X-Forwarded-For", "192.0.2.1", "Forwarded", "for=192.0.2.3"), "192.0.2.3", ""},
		{Proxies{Forwarded: true}, "10.0.0.1", header("X-Forwarded-For", "192.0.2.1"), "10.0.0.1", ""},
		{Proxies{Forwarded: true}, "192.0.2.9", header("Forwarded", "for=192.0.2.3"), "192.0.2.9", ""},
	} {
		c.proxies.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		client, by := c.proxies.Client(netip.MustParseAddr(c.peer), c.header)
		if got := AddressText(client); got != c.want || by != c.by {
			t.Errorf("%s, %v of %v: %s by %q, want %s by %q", c.peer, c.header, c.proxies, got, by, c.want, c.by)
		}
	}
}

// TestForwarded: the examples of RFC 7239, and what strangers write in front of what a proxy appends.
func TestForwarded(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	proxies := Proxies{Networks: trusted, Forwarded: true}
	const unknown = "unknown"
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{[]string{`for=192.0.2.60;proto=http;by=203.0.113.43`}, "192.0.2.60"},
		{[]string{`For="[2001:db8:cafe::17]:4711"`}, "2001:db8:cafe::17"},
		{[]string{`for=192.0.2.43, for=198.51.100.17`}, "198.51.100.17"},
		{[]string{`for=192.0.2.43, for=10.9.9.9`, `For="[fd00::1]"`}, "192.0.2.43"},
		{[]string{`for=10.9.9.9 , for=10.8.8.8`}, "10.9.9.9"},
		{[]string{`for="192.0.2.43:47011"`}, "192.0.2.43"},
		{[]string{`for="192.0.2.43:_http"`}, "192.0.2.43"},
		{[]string{`for="[2001:db8::1]:_x"`}, "2001:db8::1"},
		{[]string{`for="\1\9\2.0.2.43"`}, "192.0.2.43"},
		{[]string{`proto=https;host="a,b;for=1.2.3.4";for=192.0.2.43`}, "192.0.2.43"},
		{[]string{`proto=https; for=192.0.2.43 ; by=_x`}, "192.0.2.43"},
		{[]string{`for=192.0.2.43;`}, "192.0.2.43"},
		{[]string{`for=192.0.2.43;ext="\"quoted\", \\"`}, "192.0.2.43"},
		{[]string{``, ` `}, unknown},
		// A stranger's quotation marks take nothing of the proxy's in.
		{[]string{`for=", for=192.0.2.43`}, "192.0.2.43"},
		{[]string{`for="10.9.9.9, for="[2001:db8::1]"`}, "2001:db8::1"},
		{[]string{`for=6.6.6.6;x="\, for="[2001:db8::1]"`}, "2001:db8::1"},
		{[]string{`for=6.6.6.6;x="\"`, `for=192.0.2.43`}, "192.0.2.43"},
		{[]string{`nonsense, for=192.0.2.43`}, "192.0.2.43"},
		// Nobody knows.
		{[]string{`for=unknown`}, unknown},
		{[]string{`for=_hidden`}, unknown},
		{[]string{`for="_gazonk"`}, unknown},
		{[]string{`for="unknown:80"`}, unknown},
		{[]string{`proto=https`}, unknown},
		{[]string{`for=`}, unknown},
		{[]string{`for=""`}, unknown},
		{[]string{`for`}, unknown},
		{[]string{`for=192.0.2.43;for=192.0.2.44`}, unknown},
		{[]string{`for=192.0.2.43;for=192.0.2.43`}, unknown},
		{[]string{`for="192.0.2.43`}, unknown},
		{[]string{`for=192.0.2.43"`}, unknown},
		{[]string{`for="192.0.2.43"x`}, unknown},
		{[]string{`for="192.0.2.43" by=x`}, unknown},
		{[]string{`for=192.0.2.43,`}, unknown},
		{[]string{`for=192.0.2.43;by`}, unknown},
		{[]string{`for=nonsense, for=10.9.9.9`}, unknown},
		{[]string{`192.0.2.43`}, unknown},
	} {
		client, _ := proxies.Client(netip.MustParseAddr("10.0.0.1"), map[string][]string{"Forwarded": c.lines})
		if got := AddressText(client); got != c.want {
			t.Errorf("%q: %s, want %s", c.lines, got, c.want)
		}
	}
}

// FuzzForwarded: whatever a stranger writes, what the trusted proxy appends to it says who asks, on the same line or not.
func FuzzForwarded(f *testing.F) {
	for _, stranger := range []string{``, `for=6.6.6.6`, `for="`, `for="\`, `"`, `\"`, `for=10.0.0.1,`, `;`, `for="x", "`} {
		f.Add(stranger)
	}
	proxies := Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Forwarded: true}
	f.Fuzz(func(t *testing.T, stranger string) {
		for element, want := range map[string]string{
			`for=192.0.2.1`: "192.0.2.1", `for="[2001:db8::1]:99";host="a:1";proto=https`: "2001:db8::1", `proto=https;for="192.0.2.1"`: "192.0.2.1",
		} {
			for _, lines := range [][]string{{stranger + ", " + element}, {stranger, element}} {
				client, _ := proxies.Client(netip.MustParseAddr("10.0.0.1"), map[string][]string{"Forwarded": lines})
				if got := AddressText(client); got != want {
					t.Fatalf("%q: %s, want %s", lines, got, want)
				}
			}
		}
	})
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

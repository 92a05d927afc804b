package edge

import (
	"bufio"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// behind asks through a connection that begins with prefix, and says what the
// handler saw as the client's address.
func (s *site) behind(prefix string) (string, error) {
	s.t.Helper()
	plain, err := net.Dial("tcp", s.opts.HTTPS[0].Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := plain.Close(); err != nil {
			s.t.Log(err)
		}
	})
	if err := plain.SetDeadline(time.Now().Add(longest)); err != nil {
		s.t.Fatal(err)
	}
	send(s.t, plain, prefix)
	conn := tls.Client(plain, s.tls("http/1.1"))
	if err := conn.HandshakeContext(s.t.Context()); err != nil {
		return "", err
	}
	send(s.t, conn, "GET / HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(response.Body)
	return string(got), err
}

func address(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = err.Error()
	}
	if _, err := io.WriteString(w, host); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func v2(t *testing.T, rest string) string {
	t.Helper()
	header, err := hex.DecodeString("0d0a0d0a000d0a515549540a" + strings.ReplaceAll(rest, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(header)
}

func TestProxyProtocolOfTrustedNetworks(t *testing.T) {
	t.Parallel()
	s := start(t, address, func(o *Options) { o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for name, row := range map[string]struct{ prefix, want string }{
		"none":                   {"", "127.0.0.1"},
		"v1, IPv4":               {"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n", "192.0.2.7"},
		"v1, IPv6":               {"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n", "2001:db8::7"},
		"v1, unknown":            {"PROXY UNKNOWN\r\n", "unknown"},
		"v1, unknown, with more": {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "unknown"},
		"v2, UDP":                {v2(t, "21 12 000c c0000207 c6336401 1388 01bb"), "unknown"},
		"v2, IPv4, local":        {v2(t, "20 11 000c c0000207 c6336401 1388 01bb"), "127.0.0.1"},
		"v2, IPv4":               {v2(t, "21 11 000c c0000207 c6336401 1388 01bb"), "192.0.2.7"},
		"v2, local":              {v2(t, "20 00 0000"), "127.0.0.1"},
		"v2, unix":               {v2(t, "21 31 00d8 "+strings.Repeat("2f", 108)+strings.Repeat("2f", 108)), "unknown"},
	} {
		got, err := s.behind(row.prefix)
		if err != nil {
			got, err = s.behind(row.prefix) // the header may have come too late
		}
		if err != nil || got != row.want {
			t.Errorf("%s: %q %v, want %q", name, got, err, row.want)
		}
	}
	for name, prefix := range map[string]string{
		"v1 without addresses": "PROXY TCP4\r\n", "v1 with a name": "PROXY TCP4 localhost 198.51.100.1 5000 443\r\n",
		"v1 without an end": "PROXY " + strings.Repeat("x", 200), "v2 cut short": v2(t, "21 11 0004 c0000207"),
		"v2 of no family": v2(t, "21 00 0000"),
	} {
		if got, err := s.behind(prefix); err == nil {
			t.Errorf("%s: served as %q", name, got)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://www."+domain+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.client("http/1.1").Do(request)
	if err != nil || response.StatusCode != http.StatusPermanentRedirect {
		t.Errorf("plain HTTP: %v %v", response, err)
	}
}

// TestProxyProtocolOfStrangers: from anybody else it is a broken hello, whether
// nobody or somebody else is trusted.
func TestProxyProtocolOfStrangers(t *testing.T) {
	t.Parallel()
	for _, trusted := range [][]netip.Prefix{nil, {netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")}} {
		s := start(t, address, func(o *Options) { o.TrustedProxies = trusted })
		for _, prefix := range []string{"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n", v2(t, "21 11 000c c0000207 c6336401 1388 01bb")} {
			if got, err := s.behind(prefix); err == nil {
				t.Errorf("with %v: served as %q", trusted, got)
			}
		}
		if got, err := s.behind(""); err != nil || got != "127.0.0.1" {
			t.Errorf("with %v: %q %v", trusted, got, err)
		}
	}
}

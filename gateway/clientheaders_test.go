package gateway

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestClientIPHeadersAreBelievedOfTrustedProxiesAlone(t *testing.T) {
	for _, test := range []struct {
		name    string
		trusted string
		lines   []string
		client  string
		passed  string // what the backend receives as CF-Connecting-IP
	}{
		{"a stranger", "10.0.0.0/8", []string{"CF-Connecting-IP: 6.6.6.6", "X-Edge: 6.6.6.6"}, "192.0.2.7", ""},
		{"a proxy", "192.0.2.0/24", []string{"CF-Connecting-IP: 198.51.100.1", "X-Forwarded-For: 6.6.6.6"}, "198.51.100.1", "198.51.100.1"},
		{"IPv6 with a port", "192.0.2.0/24", []string{"CF-Connecting-IP: [2001:DB8::1]:99"}, "2001:db8::1", "2001:db8::1"},
		{"the second header", "192.0.2.0/24", []string{"X-Edge: 198.51.100.1"}, "198.51.100.1", ""},
		{"both headers", "192.0.2.0/24", []string{"X-Edge: 6.6.6.6", "CF-Connecting-IP: 198.51.100.1"}, "198.51.100.1", "198.51.100.1"},
		{"twice", "192.0.2.0/24", []string{"CF-Connecting-IP: 6.6.6.6", "CF-Connecting-IP: 6.6.6.6"}, "unknown", ""},
		{"nonsense", "192.0.2.0/24", []string{"CF-Connecting-IP: 6.6.6.6, 6.6.6.7"}, "unknown", ""},
		{"another spelling", "192.0.2.0/24", []string{"CF_Connecting_IP: 6.6.6.6", "X_Edge: 6.6.6.6", "CF-Connecting-IP: 198.51.100.1"}, "198.51.100.1", "198.51.100.1"},
		{"another header", "192.0.2.0/24", []string{"True-Client-IP: 6.6.6.6", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6"}, "192.0.2.7", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite(t, func(st *Settings) {
				st.TrustedProxies = []netip.Prefix{netip.MustParsePrefix(test.trusted)}
				st.ClientIPHeaders = []string{"Cf-Connecting-Ip", "X-Edge"}
				st.Upstreams[0].OddHeaders = PassOdd
			})
			wantStatus(t, s.ask("GET", "/public/x", test.lines...), 200)
			got := s.reached().Header
			if got.Get("X-Forwarded-For") != test.client || got.Get("Cf-Connecting-Ip") != test.passed {
				t.Errorf("the client is %q by X-Forwarded-For and %q by CF-Connecting-IP, want %q and %q", got.Get("X-Forwarded-For"), got.Get("Cf-Connecting-Ip"), test.client, test.passed)
			}
			if all := fmt.Sprint(got); strings.Contains(all, "6.6.6.6") {
				t.Errorf("a stranger's address reached the backend: %s", all)
			}
		})
	}
}

// TestHeadersOfOtherProductsPassWhereTheyAreNamed: in the named spelling, to the upstream that asks for it; and the access
// record names what was dropped, of a bounded number.
func TestHeadersOfOtherProductsPassWhereTheyAreNamed(t *testing.T) {
	lines := []string{"X-WEBAUTH-USER: admin", "X_WEBAUTH_USER: admin2", "X-Auth-Request-User: admin3", "X-Pomerium-Claim-Groups: admin4", "CF-Connecting-IP: admin5", "Cf-Access-Client-Id: key"}
	s := newSite(t)
	wantStatus(t, s.ask("GET", "/public/x", lines...), 200)
	if got := fmt.Sprint(s.reached().Header); strings.Contains(got, "admin") || !strings.Contains(got, "key") {
		t.Errorf("received %s", got)
	}
	if want := `"dropped_headers":["Cf-Connecting-Ip","X-Auth-Request-User","X-Pomerium-Claim-Groups","X-Webauth-User","X_webauth_user"]`; !strings.Contains(s.log.String(), want) || strings.Contains(s.log.String(), "admin") {
		t.Errorf("want %s and no value in the log: %s", want, s.log.String())
	}
	s = newSite(t, func(st *Settings) {
		st.Upstreams[0].OddHeaders, st.Upstreams[0].PassIdentity = PassOdd, []string{"X-Webauth-User"}
	})
	wantStatus(t, s.ask("GET", "/public/x", lines...), 200)
	if got := s.reached().Header; got.Get("X-Webauth-User") != "admin" || strings.Contains(strings.ReplaceAll(fmt.Sprint(got), "[admin]", ""), "admin") {
		t.Errorf("received %v", got)
	}
	s = newSite(t)
	lines = nil
	for i := range 100 {
		lines = append(lines, fmt.Sprintf("X-Forwarded-%d%s: x", i, strings.Repeat("y", 1000)))
	}
	wantStatus(t, s.ask("GET", "/public/x", lines...), 200)
	if n := strings.Count(s.log.String(), "X-Forwarded-"); n != maxDroppedNames || len(s.log.String()) > 4096 {
		t.Errorf("%d names in %d bytes of log", n, len(s.log.String()))
	}
	s = newSite(t, func(st *Settings) { st.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	wantStatus(t, s.ask("GET", "/public/x", "X-Forwarded-For: 198.51.100.1", "X-Forwarded-Proto: https", "X-Request-Id: abc", "X-Real-Ip: 198.51.100.1"), 200)
	if strings.Contains(s.log.String(), "dropped_headers") {
		t.Errorf("a trusted proxy's word is taken, and is not missing: %s", s.log.String())
	}
}

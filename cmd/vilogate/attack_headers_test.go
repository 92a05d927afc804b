package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// headersPolicy is a site without people: what a stranger's request holds is all there is.
const headersPolicy = `
host: %[1]s.viloforge.test
upstream: %[1]s
routes:
  - { path: /inside, allow: { networks: [127.0.0.0/8], optional: true } }
  - { path: "/*rest", allow: public }
`

// headers is a site whose configuration ends with more.
func headers(t *testing.T, more string) attackSite {
	t.Helper()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + more + fmt.Sprintf(`
tokens: { issuers: [ { name: partner, issuer: "https://id.partner.example", audience: [viloforge], secret: "0123456789abcdef0123456789abcdef" } ] }
upstreams:
  app: { url: %[1]q, odd_headers: pass }
  passing: { url: %[1]q, odd_headers: pass, identity_headers_pass: [X-WEBAUTH-USER] }
`, backend.url()),
		"policies/app.yaml": fmt.Sprintf(headersPolicy, "app"), "policies/passing.yaml": fmt.Sprintf(headersPolicy, "passing"),
	})
	return attackSite{site: s, backend: backend}
}

// TestHeadersThatOtherSoftwareBelieves: what other products and frameworks take for the client's name or address reaches no
// backend from a stranger, in no spelling, in no trailer; what clients send by design does.
func TestHeadersThatOtherSoftwareBelieves(t *testing.T) {
	t.Parallel()
	a := headers(t, "")
	for _, p := range protocols() {
		for _, name := range []string{
			"X-Client-IP", "Client-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "X-Cluster-Client-IP", "Fastly-Client-IP",
			"X-Original-Forwarded-For", "X-Envoy-External-Address", "X-ProxyUser-Ip", "X-Appengine-User-Ip", "Fly-Client-IP", "X-Azure-ClientIP",
			"X-Azure-SocketIP", "WL-Proxy-Client-IP", "Proxy-Client-IP", "X-Forwarded", "Forwarded-For",
			"X-WEBAUTH-USER", "X-WEBAUTH-EMAIL", "X-Auth-Request-User", "X-Auth-Request-Groups", "X-Remote-User", "X-Remote-Groups",
			"X-MS-CLIENT-PRINCIPAL", "X-MS-CLIENT-PRINCIPAL-NAME", "X-MS-TOKEN-AAD-ID-TOKEN", "X-Goog-Authenticated-User-Email",
			"X-Goog-IAP-JWT-Assertion", "X-Amzn-Oidc-Data", "Cf-Access-Authenticated-User-Email", "Cf-Access-Jwt-Assertion", "X-SSL-Client-S-DN",
			"X-Client-Cert", "X-Client-Verify", "X-Forwarded-Client-Cert", "SSL-Client-Verify", "X-Pomerium-Jwt-Assertion",
			"X-Pomerium-Claim-Email", "X-authentik-username", "X-Vouch-User", "X-Token-Subject",
		} {
			for number, spelling := range []string{name, strings.ReplaceAll(name, "-", "_"), strings.Replace(strings.ToLower(name), "-", ".", 1)} {
				t.Run(fmt.Sprintf("%s/%s/%d", p.name, name, number), func(t *testing.T) {
					t.Parallel()
					probe := a.backend.probe(t)
					got := p.send(a.site, t, request{host: appHost, header: []string{probe.header(), spelling + ": 203.0.113.99"}})
					if seen := probe.one(); got.status != http.StatusOK || strings.Contains(seen.head, "203.0.113.99") {
						t.Errorf("%v, and the backend received:\n%s", got, seen.head)
					}
				})
			}
			if p.name == "HTTP1.1" {
				t.Run("trailer/"+name, func(t *testing.T) {
					t.Parallel()
					probe := a.backend.probe(t)
					a.assertNotForwarded(t, probe, a.http1(t, request{
						method: http.MethodPost, host: appHost, header: []string{probe.header(), "Transfer-Encoding: chunked", "Trailer: " + name},
						body: "2\r\nhi\r\n0\r\n" + name + ": forged-admin\r\n\r\n",
					}))
				})
			}
		}
		t.Run(p.name+"/by-design", func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			p.send(a.site, t, request{host: appHost, header: []string{probe.header(), "Cf-Access-Client-Id: key", "Cf-Access-Client-Secret: secret", "X-Vouch-Token: token"}})
			if seen := probe.one(); seen.value("Cf-Access-Client-Id") != "key" || seen.value("Cf-Access-Client-Secret") != "secret" || seen.value("X-Vouch-Token") != "token" {
				t.Errorf("the backend received:\n%s", seen.head)
			}
		})
		t.Run(p.name+"/pass", func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			p.send(a.site, t, request{host: "passing.viloforge.test", header: []string{probe.header(), "X-WEBAUTH-USER: ann", "X_WEBAUTH_USER: forged", "X-WEBAUTH-EMAIL: forged"}})
			if seen := probe.one(); len(seen.folding("X-WEBAUTH-USER")) != 1 || seen.value("X-WEBAUTH-USER") != "ann" || strings.Contains(seen.head, "forged") {
				t.Errorf("the backend received:\n%s", seen.head)
			}
		})
	}
	t.Run("record", func(t *testing.T) {
		t.Parallel()
		a := headers(t, "")
		for _, p := range protocols() {
			p.send(a.site, t, request{host: appHost, header: []string{"X-WEBAUTH-USER: hidden-value", "CF-Connecting-IP: hidden-value"}})
		}
		eventually(t, "both access records", func() bool {
			return strings.Count(a.output.String(), `"dropped_headers":["Cf-Connecting-Ip","X-Webauth-User"]`) == 2
		})
		if strings.Contains(a.output.String(), "hidden-value") {
			t.Error("the log holds what a header said")
		}
		if got := a.admin(t, "/metrics").body; !strings.Contains(got, "\nvilogate_dropped_headers_total 4\n") {
			t.Error("the metrics count something else")
		}
	})
}

// TestWhoAsksByWhatTrustedProxiesSay: in the header or the list that the configuration names, and in no other.
func TestWhoAsksByWhatTrustedProxiesSay(t *testing.T) {
	t.Parallel()
	const unknown = "unknown"
	for name, c := range map[string]struct {
		more  string
		cases map[string]string // header lines, separated by "|", to the client's address
	}{
		"strangers": {"", map[string]string{
			"CF-Connecting-IP: 203.0.113.9|X-Forwarded-For: 203.0.113.9|Forwarded: for=203.0.113.9": "127.0.0.1",
		}},
		"header": {"trusted_proxies: [127.0.0.1]\nclient_ip_headers: [CF-Connecting-IP, X-Real-IP]", map[string]string{
			"CF-Connecting-IP: 198.51.100.1|X-Forwarded-For: 203.0.113.9|X-Real-IP: 203.0.113.9": "198.51.100.1",
			"CF-Connecting-IP: [2001:db8::1]:443":                                                "2001:db8::1",
			"X-Real-IP: 198.51.100.2|True-Client-IP: 203.0.113.9":                                "198.51.100.2",
			"CF-Connecting-IP: 203.0.113.9|CF-Connecting-IP: 203.0.113.9":                        unknown,
			"CF-Connecting-IP: 203.0.113.9, 127.0.0.1":                                           unknown,
			"CF-Connecting-IP: nonsense|X-Real-IP: 203.0.113.9":                                  unknown,
			"CF_Connecting_IP: 203.0.113.9|X-Forwarded-For: 203.0.113.9":                         "127.0.0.1",
			"CF_Connecting_IP: 203.0.113.9|CF-Connecting-IP: 198.51.100.1":                       "198.51.100.1",
			"Forwarded: for=203.0.113.9|Fastly-Client-IP: 203.0.113.9":                           "127.0.0.1",
			"CF-Connecting-IP: 198.51.100.1|CF-Connecting-IPv6: 203.0.113.9":                     "198.51.100.1",
		}},
		"forwarded": {"trusted_proxies: [127.0.0.1]\nclient_address: forwarded", map[string]string{
			"Forwarded: for=203.0.113.9, for=198.51.100.1;proto=https":        "198.51.100.1",
			`Forwarded: for=203.0.113.9, for="[2001:db8::1]:_p";by=_x`:        "2001:db8::1",
			`Forwarded: for=", for=198.51.100.1|X-Forwarded-For: 203.0.113.9`: "198.51.100.1",
			"Forwarded: for=198.51.100.1|Forwarded: for=127.0.0.1":            "198.51.100.1",
			"Forwarded: for=203.0.113.9, for=_hidden":                         unknown,
			"Forwarded: for=unknown":                                          unknown,
			"X-Forwarded-For: 203.0.113.9|CF-Connecting-IP: 203.0.113.9":      "127.0.0.1",
		}},
		"x-forwarded-for": {"trusted_proxies: [127.0.0.1]\nclient_address: x-forwarded-for", map[string]string{
			"X-Forwarded-For: 198.51.100.1|Forwarded: for=203.0.113.9|CF-Connecting-IP: 203.0.113.9": "198.51.100.1",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := headers(t, c.more)
			for _, p := range protocols() {
				for lines, want := range c.cases {
					t.Run(p.name+"/"+lines, func(t *testing.T) {
						t.Parallel()
						probe := a.backend.probe(t)
						p.send(a.site, t, request{host: appHost, header: append(strings.Split(lines, "|"), probe.header())})
						seen := probe.one()
						if got := seen.value("X-Forwarded-For"); got != want || strings.Contains(seen.head, "203.0.113.9") {
							t.Errorf("the client is %s, want %s; the backend received:\n%s", got, want, seen.head)
						}
						passed := ""
						if name == "header" && strings.Contains(lines, "CF-Connecting-IP: ") && want != unknown {
							passed = want
						}
						if got := seen.value("CF-Connecting-IP"); got != passed {
							t.Errorf("CF-Connecting-IP: %q, want %q", got, passed)
						}
						if got := seen.value("X-Real-IP"); got != want && (got != "" || want != unknown) {
							t.Errorf("X-Real-IP: %q, want %q", got, want)
						}
						status := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[want == "127.0.0.1"]
						if got := p.send(a.site, t, request{host: appHost, target: "/inside", header: strings.Split(lines, "|")}); got.status != status {
							t.Errorf("inside of a network: %v, want %d", got, status)
						}
					})
				}
			}
		})
	}
}

// TestWhoAsksAnIdPThatRunsApart: the same, where there is no gateway in the process.
func TestWhoAsksAnIdPThatRunsApart(t *testing.T) {
	t.Parallel()
	redis := redistest.New(t).Address
	for name, c := range map[string]struct{ more, client string }{
		"header":    {"client_ip_headers: [CF-Connecting-IP]", "198.51.100.2"},
		"forwarded": {"client_address: forwarded", "198.51.100.3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listen := freeAddress(t)
			s := serve(t, map[string]string{"vilogate.yaml": fmt.Sprintf(`
domain: viloforge.test
public_port: 443
listen: { https: "off", http: "off", admin: "127.0.0.1:0" }
state: state
drain: { delay: 0s, timeout: 10s }
redis: "redis://%s/0"
%s
trusted_proxies: [127.0.0.1]
%s
login: { host: login.viloforge.test }
idp: { listen: %q, database: sqlite, return_hosts: ["*.viloforge.test"] }
`, redis, fleetSecret, c.more, listen)})
			r, err := http.NewRequest(http.MethodGet, "http://"+listen+"/nothing", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "login.viloforge.test"
			r.Header = http.Header{"X-Forwarded-For": {"198.51.100.1"}, "Cf-Connecting-Ip": {"198.51.100.2"}, "Forwarded": {"for=198.51.100.3"}}
			response, err := new(http.Client).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			closeQuietly(t, response.Body)
			eventually(t, "the record of a request of "+c.client, func() bool { return strings.Contains(s.output.String(), `"client":"`+c.client+`"`) })
		})
	}
}

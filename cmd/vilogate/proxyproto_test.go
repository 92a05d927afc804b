package main_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestProxyThatDoesNotNameTheClient: what a trusted proxy forwards by the PROXY protocol without a client of TCP comes from
// nobody knows where. It is not the proxy's own: it is in none of its networks, nor outside of any, and its X-Forwarded-For
// is a stranger's.
func TestProxyThatDoesNotNameTheClient(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t, `trusted_proxies: ["127.0.0.1"]`)
	writeFiles(t, a.dir, map[string]string{"policies/networks.yaml": `
host: networks.viloforge.test
upstream: app
routes:
  - { path: /proxy, allow: { optional: true, networks: [127.0.0.0/8] } }
  - { path: /office, allow: { optional: true, networks: [203.0.113.0/24] } }
  - { path: /elsewhere, allow: { optional: true, not: { networks: [203.0.113.0/24] } } }
`})
	a.must("", "reload", "-c", a.dir+"/vilogate.yaml")
	const signature = "\r\n\r\n\x00\r\nQUIT\n"
	for name, row := range map[string]struct {
		prefix string
		known  bool // who asks is the proxy itself
	}{
		"none":        {"", true},
		"v2, local":   {signature + "\x20\x00\x00\x00", true},
		"v1, unknown": {"PROXY UNKNOWN\r\n", false},
		"v1, text":    {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", false},
		"v2, unix":    {signature + "\x21\x31\x00\xd8" + strings.Repeat("\x00", 216), false},
		"v2, UDP":     {signature + "\x21\x12\x00\x0c\xc6\x33\x64\x07\x7f\x00\x00\x01\x00\x01\x00\x02", false},
	} {
		for _, protocol := range []string{"http/1.1", "h2"} {
			t.Run(name+"/"+protocol, func(t *testing.T) {
				t.Parallel()
				transport := &http.Transport{
					TLSClientConfig: a.tls("networks.viloforge.test", protocol), ForceAttemptHTTP2: protocol == "h2",
					DialContext: func(context.Context, string, string) (net.Conn, error) {
						conn, err := net.Dial("tcp", a.at.HTTPS)
						if err != nil {
							return nil, err
						}
						_, err = io.WriteString(conn, row.prefix)
						return conn, err
					},
				}
				defer transport.CloseIdleConnections()
				ask := func(path, forwardedFor string) int {
					request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url("networks", path), nil)
					if err != nil {
						t.Fatal(err)
					}
					if forwardedFor != "" {
						request.Header.Set("X-Forwarded-For", forwardedFor)
					}
					response, err := transport.RoundTrip(request)
					if err != nil {
						t.Fatal(err)
					}
					_, err = io.Copy(io.Discard, response.Body)
					if err := errors.Join(err, response.Body.Close()); err != nil {
						t.Error(err)
					}
					return response.StatusCode
				}
				want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[row.known]
				for path, forwardedFor := range map[string]string{"/proxy": "", "/office": "203.0.113.5", "/elsewhere": ""} {
					if got := ask(path, forwardedFor); got != want {
						t.Errorf("%s with X-Forwarded-For %q: %d, want %d", path, forwardedFor, got, want)
					}
				}
			})
		}
	}
}

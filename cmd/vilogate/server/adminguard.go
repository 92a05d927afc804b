package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/gateway/problem"
)

// adminGuard keeps pages in a browser near the admin listener from reading it. DNS rebinding points a name of the page's own
// at this address, so that only an address, a name of this machine or one that the configuration lists is answered; a page
// of any other origin is refused.
type adminGuard struct {
	hosts func() []string // admin_hosts
}

// protect serves next to those who may read it.
func (g adminGuard) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refused := problem.Details{Type: problem.Blank}
		switch {
		case !g.admits(r.Host):
			refused.Status = http.StatusMisdirectedRequest
			refused.Title = "The admin listener does not answer for this Host: ask by an IP address or localhost, or list the name in admin_hosts"
		case !sameOrigin(r):
			refused.Status = http.StatusForbidden
			refused.Title = "The admin listener is not for pages of another origin: the Origin header names a host that is not the Host"
		default:
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		if err := refused.Write(w); err != nil {
			return // the client has disconnected
		}
	})
}

// admits reports whether a Host is an IP address, a name of this machine (RFC 6761, section 6.3), or one of admin_hosts.
func (g adminGuard) admits(host string) bool {
	name := hostName(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || slices.Contains(g.hosts(), name)
}

// sameOrigin reports whether every Origin of a request, if it has any, is of the host that it asks.
func sameOrigin(r *http.Request) bool {
	for _, value := range r.Header.Values("Origin") {
		origin, err := url.Parse(value)
		if err != nil || !strings.EqualFold(origin.Host, r.Host) {
			return false
		}
	}
	return true
}

// hostName is a Host without its port and its final dot, in lower case.
func hostName(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	return strings.TrimSuffix(strings.ToLower(name), ".")
}

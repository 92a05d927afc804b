package request

import (
	"fmt"
	"strconv"
	"strings"
)

// An Origin is a serialised origin (RFC 6454) as browsers write it: lower case, the scheme's own port left out.
type Origin string

// ParseOrigin reads an origin as people write it in a policy file. One without a port means publicPort, the port at
// which people see the gateway; where the scheme is http, its own.
func ParseOrigin(s string, publicPort int) (Origin, error) {
	scheme, authority, found := strings.Cut(s, "://")
	scheme = lower(scheme)
	if !found || scheme != "https" && scheme != "http" {
		return "", fmt.Errorf("an origin is written as https://host or https://host:port, found %q", s)
	}
	if strings.ContainsAny(authority, "/?#@*") {
		return "", fmt.Errorf("an origin is a scheme, a host and perhaps a port, and nothing more, found %q", s)
	}
	host, port, err := parseAuthority(authority)
	if err != nil {
		return "", fmt.Errorf("%w, found %q", err, s)
	}
	standard := "443"
	if scheme == "http" {
		standard = "80"
	}
	if port == "" && scheme == "https" && publicPort > 0 {
		port = strconv.Itoa(publicPort)
	}
	if port == "" || port == standard {
		return Origin(scheme + "://" + string(host)), nil
	}
	return Origin(scheme + "://" + string(host) + ":" + port), nil
}

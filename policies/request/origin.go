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
	host, port, err := ParseAuthority(authority)
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

// An OriginPattern stands for the origins of every host that is one label below a domain: https://*.viloforge.com.
type OriginPattern struct {
	scheme string // "https://"
	suffix string // ".viloforge.com", with the port where it is not the scheme's own
}

// ParseOriginPattern reads a pattern as people write it. The port is as with ParseOrigin.
func ParseOriginPattern(s string, publicPort int) (OriginPattern, error) {
	scheme, rest, found := strings.Cut(s, "://*.")
	if !found || !strings.Contains(rest, ".") {
		return OriginPattern{}, fmt.Errorf(`a pattern of origins is written as "https://*.example.com", one label in place of the star, found %q`, s)
	}
	origin, err := ParseOrigin(scheme+"://"+rest, publicPort)
	if err != nil {
		return OriginPattern{}, fmt.Errorf("%w, in the pattern %q", err, s)
	}
	scheme, authority, _ := strings.Cut(string(origin), "://")
	return OriginPattern{scheme: scheme + "://", suffix: "." + authority}, nil
}

// Match reports whether the pattern stands for an origin, given as the browser wrote it.
func (p OriginPattern) Match(origin string) bool {
	label, ok := strings.CutPrefix(origin, p.scheme)
	if !ok {
		return false
	}
	if label, ok = strings.CutSuffix(label, p.suffix); !ok || label == "" || len(label) > maxLabel {
		return false
	}
	for i := 0; i < len(label); i++ {
		if c := label[i]; classes[c]&hostByte == 0 || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return label[0] != '-' && label[len(label)-1] != '-'
}

// String is the pattern as it is written.
func (p OriginPattern) String() string { return p.scheme + "*" + p.suffix }

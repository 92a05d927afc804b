package gateway

import (
	"net/http"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// refuseConnectionAuth refuses credentials that log a connection in, and not a request
// (NTLM; Negotiate, RFC 4559): connections to upstreams are shared, so that whoever is
// lent this one next would be served as this client.
func (x *forwarding) refuseConnectionAuth() error {
	for _, line := range x.r.Header["Authorization"] {
		if scheme, _ := authScheme(line); isConnectionAuth(scheme) {
			return refuseConnectionAuth(scheme)
		}
	}
	return nil
}

// dropConnectionChallenges removes from an answer the challenges that ask for such
// credentials, which would be refused.
func (x *forwarding) dropConnectionChallenges(h http.Header) {
	var kept []string
	dropped := ""
	for _, line := range h["Www-Authenticate"] {
		challenges, ok := splitList(line)
		var rest []string
		drop := !ok // a quoted string without an end hides what follows
		for _, element := range challenges {
			// An element is a challenge or one more parameter of the last one (RFC 9110, section 11.6.1).
			if scheme, begins := authScheme(element); begins && ok {
				if drop = isConnectionAuth(scheme); drop {
					dropped = scheme
				}
			}
			if !drop {
				rest = append(rest, element)
			}
		}
		if len(rest) == len(challenges) {
			kept = append(kept, line)
		} else if len(rest) > 0 {
			kept = append(kept, strings.Join(rest, ", "))
		}
	}
	if dropped == "" {
		return
	}
	x.record.reason = "the upstream asks for " + dropped + ", which is not passed on: " + reasonConnectionAuth
	if h["Www-Authenticate"] = kept; len(kept) == 0 {
		delete(h, "Www-Authenticate")
	}
}

// authScheme is the scheme with which a challenge or credentials begin; false where a
// parameter stands there.
func authScheme(s string) (scheme string, ok bool) {
	s = strings.Trim(s, " \t")
	end := 0
	for end < len(s) && request.IsTokenByte(s[end]) {
		end++
	}
	return s[:end], end > 0 && !strings.HasPrefix(strings.TrimLeft(s[end:], " \t"), "=")
}

// isConnectionAuth reports whether a scheme of HTTP authentication is known to log
// connections in. Schemes have no case.
func isConnectionAuth(scheme string) bool {
	switch strings.ToLower(scheme) {
	case "ntlm", "negotiate", "nego2", "kerberos":
		return true
	}
	return false
}

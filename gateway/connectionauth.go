package gateway

import (
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// authenticateConnection refuses credentials that log a connection in, and not a request
// (NTLM; Negotiate, RFC 4559; CredSSP, MS-CSSP): connections to upstreams are shared, so
// that whoever is lent this one next would be served as this client. Where the route
// allows them, the client's connection is given one of its own, from the first such
// request or challenge on, as long as it stays.
func (x *forwarding) authenticateConnection() error {
	asked := ""
	for _, line := range x.r.Header["Authorization"] {
		if scheme, _ := authScheme(line); isConnectionAuth(scheme) {
			asked = scheme
		}
	}
	client := clientConnOf(x.r.Context())
	switch {
	case !x.allowsConnectionAuth() || asked != "" && client == nil && x.r.ProtoMajor == 1:
		if asked != "" {
			return refuseConnectionAuth(asked)
		}
	case client == nil:
		if asked != "" {
			return refuseConnectionAuthOverHTTP2(asked)
		}
	case asked == "":
		x.own = client.find(x.upstream, x.clientIdentity())
	default:
		own, err := client.acquire(x.upstream, x.clientIdentity(), x.client, x.affinityKey())
		if err != nil {
			return x.refuseOwn(err)
		}
		x.own = own
	}
	return nil
}

// allowsConnectionAuth reports whether the client may log in a connection. A trusted
// proxy sends the requests of many people over one, as the gateway does to upstreams of HTTP/2.
func (x *forwarding) allowsConnectionAuth() bool {
	r := x.route()
	return r != nil && r.ConnectionAuth && !x.trusted && !x.speaksHTTP2()
}

// clientIdentity is the issuer and the subject of the client; "" for an anonymous one.
func (x *forwarding) clientIdentity() string {
	if id := x.answer.Identity; id != nil {
		return id.Issuer + "\x00" + id.Subject
	}
	return ""
}

// checkConnectionChallenges has the client's connection have one of its own from the
// next request on, where an answer asks for such credentials and the route allows them.
// Over HTTP/2, browsers take the challenge for the need of a connection of HTTP/1.1.
func (x *forwarding) checkConnectionChallenges(h *field.List) {
	if !x.allowsConnectionAuth() {
		x.dropConnectionChallenges(h)
		return
	}
	client := clientConnOf(x.r.Context())
	if client == nil || x.own != nil {
		return
	}
	for line := range h.Values("WWW-Authenticate") {
		challenges, _ := splitList(line)
		for _, challenge := range challenges {
			if scheme, begins := authScheme(challenge); begins && isConnectionAuth(scheme) {
				// Where there are too many, the request that answers the challenge is told.
				_, _ = client.acquire(x.upstream, x.clientIdentity(), x.client, x.affinityKey())
				return
			}
		}
	}
}

// dropConnectionChallenges removes from an answer the challenges that ask for such
// credentials, which would be refused.
func (x *forwarding) dropConnectionChallenges(h *field.List) {
	var kept []string
	dropped := ""
	for line := range h.Values("WWW-Authenticate") {
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
	h.Del("WWW-Authenticate")
	for _, line := range kept {
		h.Add("WWW-Authenticate", line)
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
	for _, known := range [...]string{"ntlm", "negotiate", "nego2", "kerberos", "credssp", "pku2u"} {
		if strings.EqualFold(scheme, known) {
			return true
		}
	}
	return false
}

package request

import "strings"

// BearerToken returns the token of an Authorization value of the Bearer scheme (RFC 6750, section 2.1), without the white
// space around it. The scheme's name has no case.
func BearerToken(authorization string) (token string, ok bool) {
	const scheme = "Bearer"
	if len(authorization) < len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return "", false
	}
	rest := authorization[len(scheme):]
	if rest != "" && IsTokenByte(rest[0]) {
		return "", false // the name of another scheme
	}
	return TrimOWS(rest), true
}

// IsOneToken reports whether what stands behind the Bearer scheme is one token to every reader: visible ASCII, without what
// a careless server takes for the end of one, or for quotation marks around it. Wider than b64token (RFC 6750): there are
// tokens such as 7|x.
func IsOneToken(token string) bool {
	return token != "" && !strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`,;"'\`, r) })
}

// subprotocolPrefix is what the subprotocol that carries a token begins with.
const subprotocolPrefix = "bearer."

// SubprotocolToken is the token that a WebSocket handshake carries as a subprotocol (RFC 6455, section 1.9), bearer.<token>: the scripts of
// browsers can send no Authorization with one. lines are those of Sec-WebSocket-Protocol. several says that there is another one.
func SubprotocolToken(lines []string) (token string, several bool) {
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			found, ok := subprotocolToken(name)
			if ok && token != "" {
				return token, true
			}
			if ok {
				token = found
			}
		}
	}
	return token, false
}

// WithoutSubprotocolToken are lines of Sec-WebSocket-Protocol without the subprotocol that carries a token, and without lines that said
// nothing else.
func WithoutSubprotocolToken(lines []string) (rest []string) {
	for _, line := range lines {
		var kept []string
		removed := false
		for name := range strings.SplitSeq(line, ",") {
			if _, ok := subprotocolToken(name); ok {
				removed = true
			} else {
				kept = append(kept, TrimOWS(name))
			}
		}
		if removed {
			line = strings.Join(kept, ", ")
		}
		if line != "" {
			rest = append(rest, line)
		}
	}
	return rest
}

// Subprotocol is the subprotocol that carries a token.
func Subprotocol(token string) string { return subprotocolPrefix + token }

func subprotocolToken(name string) (token string, ok bool) {
	token, ok = strings.CutPrefix(TrimOWS(name), subprotocolPrefix)
	return token, ok && token != ""
}

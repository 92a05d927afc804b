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

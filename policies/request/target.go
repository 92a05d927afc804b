package request

import "strings"

// A Target is what a request asks for: the value that is decided on, and the value that is forwarded.
type Target struct {
	Method   string // as received: methods are case-sensitive
	Host     Host
	Port     string // as received; "" where the authority names none
	Path     Path
	Query    string // byte for byte as received, without the "?"
	HasQuery bool   // there was a "?", which an empty query does not show
}

// Canonicalise makes a Target of a request's method, its authority (the Host header, or :authority in HTTP/2) and its
// target as they were received. The target is in origin-form; an absolute one would be a second opinion about the host, and has
// been compared with it by whoever takes it.
// The error is a *Malformed.
func Canonicalise(method, authority, target string) (Target, error) {
	if !IsToken(method) {
		return Target{}, malformed("the method is not a token")
	}
	host, port, err := ParseAuthority(authority)
	if err != nil {
		return Target{}, err
	}
	if target == "" || target[0] != '/' {
		return Target{}, malformed("the request target does not begin with a slash")
	}
	t := Target{Method: method, Host: host, Port: port}
	path := target
	if i := strings.IndexByte(target, '?'); i >= 0 {
		path, t.Query, t.HasQuery = target[:i], target[i+1:], true
		for j := 0; j < len(t.Query); j++ {
			if c := t.Query[j]; c <= ' ' || c == '#' || c == 0x7f {
				return Target{}, malformed("a space, a control character or # in the query")
			}
		}
	}
	if t.Path, err = ParsePath(path); err != nil {
		return Target{}, err
	}
	return t, nil
}

// IsToken reports whether s is a token (RFC 9110, section 5.6.2), as methods and the names of fields are.
func IsToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !IsTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// IsTokenByte reports whether c may stand in a token of RFC 9110, section 5.6.2.
func IsTokenByte(c byte) bool { return classes[c]&tchar != 0 }

package request

import "strings"

// A Host is a host name in lower case, without port and final dot, of letters, digits and hyphens; or an IP address,
// which no policy names. IPv6 addresses stand in brackets.
type Host string

const (
	maxHost  = 253
	maxLabel = 63
)

// ParseHost canonicalises a host without a port. The error is a *Malformed.
func ParseHost(s string) (Host, error) {
	if strings.HasPrefix(s, "[") {
		if !isIPLiteral(s) {
			return "", malformed("the host is no IPv6 address in brackets")
		}
		return Host(lower(s)), nil
	}
	if s == "" || len(s) > maxHost {
		return "", malformed("the host is empty or longer than 253 characters")
	}
	label := 0 // where the current label begins
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != '.' {
			if classes[s[i]]&hostByte == 0 {
				return "", malformed("the host holds something other than letters, digits, hyphens and dots")
			}
			continue
		}
		if n := i - label; n == 0 || n > maxLabel || s[label] == '-' || s[i-1] == '-' {
			return "", malformed("the host has a label that is empty, too long, or begins or ends with a hyphen")
		}
		label = i + 1
	}
	return Host(lower(s)), nil
}

// IsHostName reports whether s is a host name in the form in which hosts are compared, in lower case and without a port,
// and nothing that a browser reads as an IPv4 address: whose last label begins with a digit.
func IsHostName(s string) bool {
	host, err := ParseHost(s)
	if err != nil || string(host) != s || s[0] == '[' {
		return false
	}
	last := s[strings.LastIndexByte(s, '.')+1]
	return last < '0' || '9' < last
}

// ParseAuthority splits an authority (RFC 9110, section 7.2) into host and port; "" where it names none. User information
// has no place in a request. The error is a *Malformed.
func ParseAuthority(s string) (Host, string, error) {
	name, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		name, port = s[:i], s[i+1:]
		if !isPort(port) {
			return "", "", malformed("the port is not a number from 1 to 65535")
		}
	}
	host, err := ParseHost(name)
	return host, port, err
}

// TrimFinalDot is an authority without the final dot of its host name, which makes the name absolute (RFC 1034, section 3.1)
// and is the same host; false where there is none.
func TrimFinalDot(authority string) (string, bool) {
	name, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 {
		name, port = authority[:i], authority[i:]
	}
	trimmed, found := strings.CutSuffix(name, ".")
	if !found || trimmed == "" {
		return authority, false
	}
	return trimmed + port, true
}

func isPort(s string) bool {
	n := 0
	for i := 0; i < len(s) && i < 6; i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return 0 < n && n <= 65535 && s[0] != '0'
}

// isIPLiteral reports whether s looks like an IP-literal (RFC 3986), an IPv6 address in brackets. Nothing is ever looked up by it, so that its
// alphabet is all that matters.
func isIPLiteral(s string) bool {
	if len(s) < len("[::]") || len(s) > 47 || s[len(s)-1] != ']' {
		return false
	}
	for _, c := range []byte(s[1 : len(s)-1]) {
		if hexValue(c) < 0 && c != ':' && c != '.' {
			return false
		}
	}
	return true
}

// lower is s in lower case, and s itself where it is so already.
func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}

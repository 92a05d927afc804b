package request

import (
	"net/netip"
	"strings"
)

// lastForwarded finds the comma before the last element of a Forwarded line (RFC 7239, section 4), or -1. It reads from the
// end, which the nearest proxy wrote, so that no quotation mark of a stranger's at the beginning takes that element in.
func lastForwarded(line string) int {
	quoted := false
	for i := len(line) - 1; i >= 0; i-- {
		switch c := line[i]; {
		case c == '"' && !(quoted && isEscaped(line, i)):
			quoted = !quoted
		case c == ',' && !quoted:
			return i
		}
	}
	return -1
}

// isEscaped reports whether the byte at i stands behind an odd number of backslashes.
func isEscaped(s string, i int) bool {
	before := strings.TrimRight(s[:i], `\`)
	return (i-len(before))%2 == 1
}

// parseForwarded reads the address in an element of Forwarded. It is the zero Addr where the element names nobody
// ("unknown", an obfuscated name, no for), names somebody twice, or is malformed.
func parseForwarded(element string) netip.Addr {
	var client netip.Addr
	for found := false; element != ""; {
		name, rest, ok := strings.Cut(element, "=")
		value, rest, valid := forwardedValue(rest)
		if !ok || !valid {
			return netip.Addr{}
		}
		if strings.EqualFold(TrimOWS(name), "for") {
			if found {
				return netip.Addr{}
			}
			found, client = true, parseNode(value)
		}
		element = rest
	}
	return client
}

// forwardedValue reads the value at the beginning of s, a token or a quoted-string, and the semicolon behind it.
func forwardedValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return strings.TrimRight(value, ows), strings.TrimLeft(rest, ows), !strings.Contains(value, `"`)
	}
	end := 1
	for end < len(s) && (s[end] != '"' || isEscaped(s, end)) {
		end++
	}
	if end == len(s) {
		return "", "", false
	}
	value, rest = s[1:end], strings.TrimLeft(s[end+1:], ows)
	if rest != "" && rest[0] != ';' {
		return "", "", false
	}
	if strings.IndexByte(value, '\\') >= 0 {
		value = unquotePairs(value)
	}
	return value, strings.TrimLeft(strings.TrimPrefix(rest, ";"), ows), true
}

// unquotePairs takes the backslashes out of the inside of a quoted-string (RFC 9110, section 5.6.4).
func unquotePairs(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parseNode reads a node (RFC 7239, section 6): an address, with a port that may be obfuscated.
func parseNode(node string) netip.Addr {
	if i := strings.LastIndex(node, ":_"); i >= 0 {
		node = node[:i]
	}
	return ParseAddress(node)
}

package request

import (
	"slices"
	"strings"
)

// A HeaderClass says what may become of a request header that a client sends, judged by its name alone.
type HeaderClass uint8

const (
	OrdinaryHeader HeaderClass = iota
	OddHeader                  // holds a character that servers fold or parsers dispute
	OverrideHeader             // asks the backend to take another method
	ReservedHeader             // set by the gateway, or by nobody
)

// reservedHeaders are never passed on from a client, in the folded spelling: lower case, every character that is not a
// letter or digit as a hyphen. This is the one list of them, for what is forwarded and for what policies may say.
var reservedHeaders = map[string]HeaderClass{
	"x-user": ReservedHeader, "x-user-id": ReservedHeader, "x-user-email": ReservedHeader, "x-user-name": ReservedHeader,
	"x-user-roles": ReservedHeader, "x-user-assertion": ReservedHeader,
	"remote-user": ReservedHeader, "remote-email": ReservedHeader, "remote-name": ReservedHeader, "remote-groups": ReservedHeader,
	"forwarded": ReservedHeader, "x-real-ip": ReservedHeader, "x-request-id": ReservedHeader, "x-rewrite-url": ReservedHeader,
	"x-http-method": OverrideHeader, "x-http-method-override": OverrideHeader, "x-method-override": OverrideHeader,
	"proxy": ReservedHeader, // CGI and its heirs make HTTP_PROXY of it
}

// The beginnings of families of reserved names.
const (
	forwardedHeaders = "x-forwarded-"
	originalHeaders  = "x-original-"
)

// longestReserved is the length of the longest key of reservedHeaders.
const longestReserved = len("x-http-method-override")

// ClassifyHeader judges a header's name. Names are compared after folding, because WSGI, CGI and others read X_User as
// X-User. It allocates nothing.
func ClassifyHeader(name string) HeaderClass {
	var buffer [longestReserved]byte
	class := OrdinaryHeader
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		default:
			c, class = '-', OddHeader
		}
		if i < len(buffer) {
			buffer[i] = c
		}
	}
	folded := buffer[:min(len(name), len(buffer))]
	switch {
	case len(folded) == 0:
		return OddHeader
	case folded[0] != 'x' && folded[0] != 'r' && folded[0] != 'f' && folded[0] != 'p':
		return class
	case hasPrefix(folded, forwardedHeaders), hasPrefix(folded, originalHeaders):
		return ReservedHeader
	case len(name) > len(buffer):
		return class
	}
	if found, ok := reservedHeaders[string(folded)]; ok {
		return found
	}
	return class
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// IsReservedHeader reports whether a request header is the gateway's own to write or to judge, in whatever spelling servers
// take for it.
func IsReservedHeader(name string) bool { return ClassifyHeader(name) >= OverrideHeader }

// FoldHeader is a header's name as the most careless of servers compares it: in lower case, and with a hyphen for
// everything that is not a letter or digit.
func FoldHeader(name string) string {
	b := []byte(name)
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case (c < 'a' || 'z' < c) && (c < '0' || '9' < c):
			b[i] = '-'
		}
	}
	return string(b)
}

// CanonicalHeader is a header's name as package net/http writes it, X-Frame-Options; false where it is none, or holds
// anything but letters, digits and hyphens.
func CanonicalHeader(name string) (string, bool) {
	b := []byte(name)
	for i, c := range b {
		first := i == 0 || b[i-1] == '-'
		switch {
		case classes[c]&hostByte == 0:
			return "", false
		case first && 'a' <= c && c <= 'z':
			b[i] = c - 'a' + 'A'
		case !first && 'A' <= c && c <= 'Z':
			b[i] = c - 'A' + 'a'
		}
	}
	return string(b), len(b) > 0
}

// IsHopByHop reports whether lines of Connection name one of the headers, which then ends at this hop (RFC 9110, section
// 7.6.1): a policy that reads it would decide on what is not forwarded.
func IsHopByHop(connection, names []string) bool {
	if len(names) == 0 {
		return false
	}
	for _, line := range connection {
		for option := range strings.SplitSeq(line, ",") {
			option = FoldHeader(strings.TrimSpace(option))
			if slices.ContainsFunc(names, func(name string) bool { return FoldHeader(name) == option }) {
				return true
			}
		}
	}
	return false
}

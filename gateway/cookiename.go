package gateway

import (
	"slices"

	"github.com/viloforge/vilogate/policies/request"
)

// isKnownCookie reports whether some parser could read a cookie of the name sent as one
// of those: Rack and PHP decode percent escapes and plus signs, PHP writes underscores for
// dots, brackets and the spaces inside, some take quotation marks off, and ASP.NET compares
// without regard to case.
func isKnownCookie(sent string, known []Cookie) bool {
	if !slices.ContainsFunc(known, func(c Cookie) bool { return len(sent) >= len(c.Name) }) {
		return false // nothing that is decoded or taken off makes it longer
	}
	var room [64]byte
	name := request.DecodeSegment(room[:0], sent)
	for len(name) > 0 && surroundsCookieName(name[0]) {
		name = name[1:]
	}
	for len(name) > 0 && surroundsCookieName(name[len(name)-1]) {
		name = name[:len(name)-1]
	}
	for i := range known {
		if sameCookieName(name, known[i].Name) {
			return true
		}
	}
	return false
}

func sameCookieName(decoded []byte, name string) bool {
	if len(decoded) != len(name) {
		return false
	}
	for i, c := range decoded {
		if foldCookieByte(c) != foldCookieByte(name[i]) {
			return false
		}
	}
	return true
}

func foldCookieByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case c == ' ', c == '+', c == '.', c == '[':
		return '_'
	}
	return c
}

// surroundsCookieName reports whether some parser takes the byte off a name's ends.
func surroundsCookieName(c byte) bool {
	return separatesCookies(c) || c == '+' || c == '"' || c == '\'' || c == '\\'
}

// separatesCookies reports whether some parser takes the byte for the end of a
// cookie, or for white space around one.
func separatesCookies(c byte) bool { return c <= ' ' || c == ',' || c >= 0x7f }

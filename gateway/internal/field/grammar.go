package field

import "strings"

// isTokenByte are the bytes of a token (RFC 9110, section 5.6.2).
var isTokenByte = tokenBytes()

func tokenBytes() (all [256]bool) {
	for c := range 256 {
		letterOrDigit := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		all[c] = letterOrDigit || c < 0x80 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return all
}

// IsToken reports whether s is a token, as names and methods are.
func IsToken(s string) bool {
	for i := range len(s) {
		if !isTokenByte[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// IsValue reports whether s holds only what a field's value may (RFC 9110, section 5.5): no control characters but tabs.
func IsValue[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

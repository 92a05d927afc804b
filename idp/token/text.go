package token

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/viloforge/vilogate/idp/token/names"
)

// clean makes of s what can be shown on one line without turning what stands
// around it: at most limit bytes, cut between characters.
func clean(s string, limit int) string {
	s = strings.TrimSpace(strings.Map(func(c rune) rune {
		switch {
		case unicode.IsControl(c), c == '\u2028', c == '\u2029':
			return ' '
		case names.BreaksText(c):
			return -1
		}
		return c
	}, s))
	if len(s) <= limit {
		return s
	}
	for !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// PercentEncode spells s in visible ASCII, as one who is told of people in a
// header or in a key of a store needs it: every other byte, and "%" itself,
// percent-encoded (RFC 3986, section 2.1). No two texts have one spelling.
func PercentEncode(s string) string {
	const upperHex = "0123456789ABCDEF"
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = isVisible(s[i])
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; isVisible(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

func isVisible(c byte) bool { return ' ' < c && c <= '~' && c != '%' }

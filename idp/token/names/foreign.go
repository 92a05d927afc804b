package names

import (
	"unicode"
	"unicode/utf8"
)

// MaxForeign is the longest subject, user name or role of another issuer, in bytes.
const MaxForeign = 255

// IsForeign reports whether s can be a subject, a user name or a role as another issuer has it: UTF-8 of any language,
// MaxForeign at most, and nothing that breaks a line or turns the direction of what stands around it.
func IsForeign(s string) bool {
	if s == "" || len(s) > MaxForeign {
		return false
	}
	for _, c := range s {
		if BreaksText(c) {
			return false
		}
	}
	return true
}

// BreaksText reports whether c breaks a line, turns the direction of the text around it, or is no character.
func BreaksText(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c) ||
		c == '\u2028' || c == '\u2029' || c == '\ufeff' || c == utf8.RuneError
}

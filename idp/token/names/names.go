// Package names holds the grammars of user names, roles and the names of issuers: what the identity provider gives out, what tokens may carry,
// what policies may ask for and what backends receive are the same names.
//
// It stands on floor 0, below the tokens, which bring the names from the one side to the other, and imports nothing but
// unicode: the policies read it and stay pure.
package names

import (
	"unicode"
	"unicode/utf8"
)

// The longest of each, in characters.
const (
	MaxUser        = 64
	MaxForeignUser = 150 // as long as Django lets them be
	MaxRole        = 64
	MaxIssuer      = 64
)

// IsUser reports whether s can be a user of our own identity provider: [a-z0-9._@+-], MaxUser at most.
func IsUser(s string) bool {
	for i := range len(s) {
		if !isLower(s[i]) && !isUserMark(s[i]) {
			return false
		}
	}
	return 0 < len(s) && len(s) <= MaxUser
}

// IsForeignUser reports whether s can be a user of another issuer, as that issuer names them: never folded, of letters and
// digits of any script and of . _ @ + -, as Django's own user names are (UnicodeUsernameValidator), MaxForeignUser at most.
// Marks that combine with what stands before them are none of these, nor are letters and digits that compatibility
// normalization (NFKC) makes ASCII of: Django normalizes its names, and no other of its users is to be alice.
func IsForeignUser(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	n := 0
	for _, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsNumber(c) && !(c < utf8.RuneSelf && isUserMark(byte(c))) || unicode.Is(compatible, c) {
			return false
		}
		n++
	}
	return 0 < n && n <= MaxForeignUser
}

// compatible are the blocks in which letters and digits are that NFKC makes ASCII of: superscripts, ligatures, letters in
// circles, of mathematics, and of full width.
var compatible = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0xaa, 0xaa, 1},
		{0xb2, 0xb3, 1},
		{0xb9, 0xba, 1},
		{0x132, 0x133, 1},
		{0x17f, 0x17f, 1},
		{0x1c7, 0x1cc, 1},
		{0x1f1, 0x1f3, 1},
		{0x2b0, 0x2b8, 1},
		{0x2e1, 0x2e3, 1},
		{0x1d2c, 0x1d6a, 1},
		{0x1d9b, 0x1dbf, 1},
		{0x2070, 0x209c, 1},
		{0x2100, 0x218f, 1},
		{0x2460, 0x24ff, 1},
		{0x2c7c, 0x2c7d, 1},
		{0x3250, 0x325f, 1},
		{0x32b1, 0x32bf, 1},
		{0xa7f2, 0xa7f4, 1},
		{0xfb00, 0xfb06, 1},
		{0xff00, 0xff5e, 1},
	},
	R32:         []unicode.Range32{{0x10780, 0x107ba, 1}, {0x1d400, 0x1d7ff, 1}, {0x1f100, 0x1f10c, 1}, {0x1fbf0, 0x1fbf9, 1}},
	LatinOffset: 3,
}

// IsRole reports whether s can be a role: [a-z0-9][a-z0-9._-]*, MaxRole at most.
func IsRole(s string) bool { return isWord(s, MaxRole) }

// IsIssuer reports whether s can be the name of an issuer: [a-z0-9][a-z0-9._-]*, MaxIssuer at most. Before a colon and a
// user's name it tells whose user that is.
func IsIssuer(s string) bool { return isWord(s, MaxIssuer) }

func isWord(s string, limit int) bool {
	for i := range len(s) {
		if c := s[i]; !isLower(c) && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return 0 < len(s) && len(s) <= limit
}

// isLower reports whether c is a lower-case letter or a digit.
func isLower(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isUserMark(c byte) bool { return c == '.' || c == '_' || c == '@' || c == '+' || c == '-' }

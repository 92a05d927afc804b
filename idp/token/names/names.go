// Package names holds the grammars of user names, roles and the names of issuers: what the identity provider gives out, what tokens may carry,
// what policies may ask for and what backends receive are the same names.
//
// It stands on floor 0, below the tokens, which bring the names from the one side to the other, and imports nothing but
// unicode: the policies read it and stay pure.
package names

// The longest of each, in bytes.
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

// IsForeignUser reports whether s can be a user of another issuer, as that issuer names them: never folded,
// [A-Za-z0-9._@+-], MaxForeignUser at most.
func IsForeignUser(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLower(c) && !('A' <= c && c <= 'Z') && !isUserMark(c) {
			return false
		}
	}
	return 0 < len(s) && len(s) <= MaxForeignUser
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

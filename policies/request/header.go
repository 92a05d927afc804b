package request

// reservedHeaders are request headers that the gateway writes or nobody, in the folded spelling: lower case, every
// character that is not a letter or digit as a hyphen.
var reservedHeaders = map[string]bool{
	"x-user": true, "x-user-id": true, "x-user-email": true, "x-user-name": true, "x-user-roles": true, "x-user-assertion": true,
	"remote-user": true, "remote-email": true, "remote-name": true, "remote-groups": true,
	"forwarded": true, "x-real-ip": true, "x-request-id": true, "x-rewrite-url": true, "proxy": true,
	"x-http-method": true, "x-http-method-override": true, "x-method-override": true,
	"signature": true, "signature-input": true,
}

// reservedFamilies begin the names of more of them.
var reservedFamilies = []string{"x-forwarded-", "x-original-"}

// IsReservedHeader reports whether a request header is the gateway's own to write, in whatever spelling servers take for
// it: WSGI and CGI read X_User as X-User.
func IsReservedHeader(name string) bool {
	folded := FoldHeader(name)
	for _, family := range reservedFamilies {
		if len(folded) >= len(family) && folded[:len(family)] == family {
			return true
		}
	}
	return reservedHeaders[folded]
}

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

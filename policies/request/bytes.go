package request

// A class says what a byte may be part of.
type class uint8

const (
	unreserved  class = 1 << iota // RFC 3986: letters, digits, - . _ ~
	pchar                         // pchar of RFC 3986, and the slash: allowed in a path as it is
	forbidden                     // never allowed in a path, raw or escaped
	escapedOnly                   // never allowed in a path as it is
	hostByte                      // letters, digits, hyphen
	tchar                         // RFC 9110: tchar, what methods are made of
)

// classes is written once, here, and only read afterwards.
var classes = func() (t [256]class) {
	for c := range 0x20 {
		t[c] = forbidden
	}
	t[0x7f], t['\\'], t['#'] = forbidden, escapedOnly, escapedOnly
	for c := '0'; c <= '9'; c++ {
		t[c] = unreserved | pchar | hostByte | tchar
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = unreserved | pchar | hostByte | tchar
		t[c-'a'+'A'] = t[c]
	}
	for _, c := range "-._~" {
		t[c] |= unreserved | pchar
	}
	for _, c := range "/:@!$&'()*+,;=" {
		t[c] |= pchar
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= tchar
	}
	t['-'] |= hostByte
	return t
}()

// hexValue is the value of a hexadecimal digit, or -1.
func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// decodeEscape is the byte that s, which begins with a percent sign, escapes, or -1 where that is no escape.
func decodeEscape(s string) int {
	if len(s) < 3 {
		return -1
	}
	high, low := hexValue(s[1]), hexValue(s[2])
	if high < 0 || low < 0 {
		return -1
	}
	return high<<4 | low
}

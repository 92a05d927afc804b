package request

// A class says what a byte may be part of.
type class uint8

const (
	unreserved class = 1 << iota // RFC 3986: letters, digits, - . _ ~
	plain                        // allowed in a path as it is
	refused                      // never allowed in a path, raw or escaped
	hostByte                     // letters, digits, hyphen
	tokenByte                    // RFC 9110: what methods are made of
)

// classes is written once, here, and only read afterwards.
var classes = func() (t [256]class) {
	for c := range 0x20 {
		t[c] = refused
	}
	t[0x7f], t['\\'], t['#'] = refused, refused, refused
	for c := '0'; c <= '9'; c++ {
		t[c] = unreserved | plain | hostByte | tokenByte
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = unreserved | plain | hostByte | tokenByte
		t[c-'a'+'A'] = t[c]
	}
	for _, c := range "-._~" {
		t[c] |= unreserved | plain
	}
	for _, c := range "/:@!$&'()*+,;=" {
		t[c] |= plain
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= tokenByte
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

// unhex is the byte that s, which begins with a percent sign, escapes, or -1 where that is no escape.
func unhex(s string) int {
	if len(s) < 3 {
		return -1
	}
	high, low := hexValue(s[1]), hexValue(s[2])
	if high < 0 || low < 0 {
		return -1
	}
	return high<<4 | low
}

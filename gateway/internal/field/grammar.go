package field

// maxLengthDigits keeps a length within 63 bits.
const maxLengthDigits = 18

// ParseLength parses a number of bytes, as Content-Length has it (RFC 9110, section 8.6): digits, and nothing but digits.
func ParseLength(s string) (n int64, ok bool) {
	if s == "" || len(s) > maxLengthDigits {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n, true
}

// IsValue reports whether s holds only what a field's value may (RFC 9110, section 5.5): no control characters but tabs. It looks at
// eight bytes at a time: values can be long.
func IsValue[T string | []byte](s T) bool {
	for ; len(s) >= 8; s = s[8:] {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		if mayHaveControl(w) && !areValueBytes(s[:8]) {
			return false
		}
	}
	return areValueBytes(s)
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones // the highest bit of each byte
)

// mayHaveControl reports whether one of the eight bytes of w is below a space, or DEL. What it says of none is true.
func mayHaveControl(w uint64) bool {
	del := w ^ 0x7f*ones // where DEL was, there is zero
	return ((w-' '*ones)&^w|(del-ones)&^del)&highs != 0
}

func areValueBytes[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

package field

import (
	"strings"
	"testing"
)

// TestIsValueLooksAtEveryByte, wherever it stands among others.
func TestIsValueLooksAtEveryByte(t *testing.T) {
	for _, filler := range []byte{' ', 'a', '~', 0x80, 0xff, '\t'} {
		for length := range 26 {
			for at := range length {
				for c := range 256 {
					b := []byte(strings.Repeat(string([]byte{filler}), length))
					b[at] = byte(c)
					want := c >= ' ' && c != 0x7f || c == '\t'
					if IsValue(b) != want || IsValue(string(b)) != want {
						t.Fatalf("%q: %v", b, !want)
					}
				}
			}
		}
	}
}

func BenchmarkIsValue(b *testing.B) {
	value := strings.Repeat("eyJhbGciOiJFUzI1NiIs", 40)
	for b.Loop() {
		if !IsValue(value) {
			b.Fatal()
		}
	}
}

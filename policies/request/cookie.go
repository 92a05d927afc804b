package request

import (
	"iter"
	"strings"
)

// CookiePairs yields the name and value of each pair of a Cookie line, with the white
// space around them removed, as most servers' parsers do. A piece without "=" has no name
// and is not yielded.
func CookiePairs(line string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for line != "" {
			piece, rest, _ := strings.Cut(line, ";")
			line = rest
			name, value, ok := strings.Cut(piece, "=")
			if ok && !yield(TrimOWS(name), TrimOWS(value)) {
				return
			}
		}
	}
}

// CookieValues yields every value that is sent under one name, in the order of the lines.
// Unlike net/http, which reads no cookie at all where there are more than 3000, it reads
// however many there are.
func CookieValues(header map[string][]string, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range header["Cookie"] {
			for sent, value := range CookiePairs(line) {
				if sent == name && !yield(value) {
					return
				}
			}
		}
	}
}

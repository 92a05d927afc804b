package request

import "strings"

// DecodeFully is a canonical path or segment as a server reads it that decodes until nothing is left to decode, and takes
// \ for /.
func DecodeFully(s string) string {
	decoded := decodeRepeatedly(nil, DecodeSegment(nil, s))
	for i, c := range decoded {
		if c == '\\' {
			decoded[i] = '/'
		}
	}
	return string(decoded)
}

// DecodesFurther reports whether such a server reads another path than one that decodes once, or one that takes what it decoded
// for a URL again finds a ? in it, where it begins a query.
func (p Path) DecodesFurther() bool {
	if p.ambiguities&EncodedBackslash == 0 && !strings.Contains(p.text, "%25") && !strings.Contains(p.text, "%3F") {
		return false
	}
	decoded := DecodeFully(p.text)
	return strings.Contains(decoded, "?") || decoded != string(DecodeSegment(nil, p.text))
}

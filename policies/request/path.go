package request

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// An Ambiguity is a spelling that servers parse in different ways, and that a route has to permit.
type Ambiguity uint8

const (
	EncodedSlash     Ambiguity = 1 << iota // %2F: a separator to some, a letter to others
	DoubleSlash                            // an empty segment, which some leave out
	Semicolon                              // ; or %3B: some cut the segment there
	EncodedHash                            // %23: a letter to most, the end of the path to who takes what is decoded for a URL again
	DoubleEncoding                         // %252F: decoding once more yields a slash, a backslash or #
	EncodedBackslash                       // %5C: a separator on Windows, a letter elsewhere
)

// AllAmbiguities are all of them.
const AllAmbiguities = EncodedSlash | DoubleSlash | Semicolon | EncodedHash | DoubleEncoding | EncodedBackslash

// String names the ambiguities, as a policy file does.
func (o Ambiguity) String() string {
	var names []string
	for _, known := range []struct {
		oddity Ambiguity
		name   string
	}{
		{EncodedSlash, "encoded_slash"},
		{DoubleSlash, "double_slash"},
		{Semicolon, "semicolon"},
		{EncodedHash, "encoded_hash"},
		{DoubleEncoding, "double_encoding"},
		{EncodedBackslash, "encoded_backslash"},
	} {
		if o&known.oddity != 0 {
			names = append(names, known.name)
		}
	}
	return strings.Join(names, ", ")
}

// A Path is a canonical path. Only ParsePath and Canonicalise make one; the zero Path is none.
type Path struct {
	text        string
	ambiguities Ambiguity
}

// String is the path as it is forwarded, escapes and all.
func (p Path) String() string { return p.text }

// Ambiguities are the ambiguous spellings in the path, which a route has to permit.
func (p Path) Ambiguities() Ambiguity { return p.ambiguities }

// ParsePath canonicalises a path as it stands on a request line, without the query. The error is a *Malformed.
func ParsePath(s string) (Path, error) {
	if s == "" || s[0] != '/' {
		return Path{}, malformed("the path does not begin with a slash")
	}
	if isPlainPath(s) {
		return Path{text: s}, nil
	}
	text, err := normaliseEscapes(s)
	if err != nil {
		return Path{}, err
	}
	p := Path{text: text}
	for rest := text[1:]; ; {
		segment, tail, more := strings.Cut(rest, "/")
		ambiguity, err := checkSegment(segment, !more)
		if err != nil {
			return Path{}, err
		}
		p.ambiguities |= ambiguity
		if !more {
			return p, nil
		}
		rest = tail
	}
}

// isPlainPath reports whether a path, which begins with a slash, is canonical at sight, as most are: of unreserved characters
// and slashes alone, with no empty segment but the last and none that begins with a dot.
func isPlainPath(s string) bool {
	previous := byte(0)
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '/', c == '.':
			if previous == '/' {
				return false
			}
		case classes[c]&unreserved == 0:
			return false
		}
		previous = c
	}
	return true
}

// normaliseEscapes normalises the percent-encoding of a path (RFC 3986, 6.2.2.2: percent-encoding normalization). Where s has it already, the answer is s itself.
func normaliseEscapes(s string) (string, error) {
	const upperHex = "0123456789ABCDEF"
	var b []byte // the new spelling, once it differs; before that, s[:i]
	for i := 0; i < len(s); i++ {
		c, width, escaped := s[i], 1, false
		if c == '%' {
			v := decodeEscape(s[i:])
			if v < 0 {
				return "", malformed("invalid percent-encoding in the path: not % and two hexadecimal digits")
			}
			c, width, escaped = byte(v), 3, true
		}
		class := classes[c]
		switch {
		case class&forbidden != 0:
			return "", malformed("a control character in the path, raw or escaped")
		case class&escapedOnly != 0 && !escaped:
			return "", malformed("a backslash or # in the path")
		}
		literal := class&pchar != 0 && !escaped || class&unreserved != 0
		unchanged := literal && !escaped || !literal && escaped && s[i+1] < 'a' && s[i+2] < 'a'
		if b == nil && !unchanged {
			b = append(make([]byte, 0, len(s)+16), s[:i]...)
		}
		switch {
		case b == nil:
		case literal:
			b = append(b, c)
		default:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
		i += width - 1
	}
	if b == nil {
		return s, nil
	}
	return string(b), nil
}

// checkSegment finds what is ambiguous in a segment of a normalised path, and refuses what is never allowed.
func checkSegment(segment string, last bool) (Ambiguity, error) {
	if segment == "" {
		if last {
			return 0, nil
		}
		return DoubleSlash, nil
	}
	if strings.IndexByte(segment, '%') < 0 {
		if segment[0] != '.' && strings.IndexByte(segment, ';') < 0 {
			return 0, nil
		}
		var buffer [128]byte
		return checkDecodedSegment(append(buffer[:0], segment...), last)
	}
	var buffer [256]byte
	once := DecodeSegment(buffer[:0], segment)
	if !utf8.Valid(once) {
		return 0, malformed("the path is not UTF-8 once it is decoded")
	}
	ambiguity, err := checkDecodedSegment(once, last)
	if err == nil && bytes.IndexByte(once, '%') >= 0 {
		var deeper Ambiguity
		deeper, err = checkDoubleEncoding(once, last)
		ambiguity |= deeper
	}
	return ambiguity, err
}

// checkDecodedSegment judges a segment that was decoded once.
func checkDecodedSegment(once []byte, last bool) (ambiguity Ambiguity, err error) {
	if hasDotSegment(once) {
		return 0, malformed("a dot segment in the path")
	}
	if bytes.IndexByte(once, '/') >= 0 {
		ambiguity |= EncodedSlash
	}
	if bytes.IndexByte(once, '\\') >= 0 {
		ambiguity |= EncodedBackslash
	}
	if bytes.IndexByte(once, '#') >= 0 {
		ambiguity |= EncodedHash
	}
	if hasEmptyPiece(once, last) {
		ambiguity |= DoubleSlash
	}
	if i := bytes.IndexByte(once, ';'); i >= 0 {
		ambiguity |= Semicolon
		if i == 0 && !last {
			ambiguity |= DoubleSlash // nothing is left of the segment where parameters are cut off
		}
	}
	return ambiguity, nil
}

// checkDoubleEncoding finds double encoding: a segment, decoded once, that means something else to a server that decodes
// more than once. It refuses what is never allowed at any depth.
func checkDoubleEncoding(once []byte, last bool) (ambiguity Ambiguity, err error) {
	var buffer [256]byte
	decoded := decodeRepeatedly(buffer[:0], once)
	switch {
	case bytes.IndexByte(decoded, 0) >= 0:
		return 0, malformed("double encoding: decoding the path further yields NUL")
	case hasDotSegment(decoded):
		return 0, malformed("double encoding: decoding the path further yields a dot segment")
	case hasOverlong(decoded):
		return 0, malformed("double encoding: decoding the path further yields an overlong form")
	}
	for _, more := range []struct {
		letter    string
		ambiguity Ambiguity
	}{{"/", DoubleEncoding}, {"\\", DoubleEncoding | EncodedBackslash}, {"#", DoubleEncoding | EncodedHash}} {
		if bytes.Count(decoded, []byte(more.letter)) > bytes.Count(once, []byte(more.letter)) {
			ambiguity |= more.ambiguity
		}
	}
	if ambiguity != 0 && hasEmptyPiece(decoded, last) {
		ambiguity |= DoubleSlash
	}
	return ambiguity, nil
}

// separators are what a decoded segment may be split at.
const separators = `/\`

// hasEmptyPiece reports whether a decoded segment that holds separators has nothing before, between or, unless it is the
// last of the path, behind them.
func hasEmptyPiece(b []byte, last bool) bool {
	for separated := false; ; separated = true {
		i := bytes.IndexAny(b, separators)
		switch {
		case i == 0:
			return true
		case i < 0:
			return separated && !last && len(b) == 0
		}
		b = b[i+1:]
	}
}

// DecodeSegment appends to b the bytes that a segment of a canonical path stands for.
func DecodeSegment(b []byte, segment string) []byte {
	for i := 0; i < len(segment); i++ {
		if segment[i] == '%' {
			if v := decodeEscape(segment[i:]); v >= 0 {
				b = append(b, byte(v))
				i += 2
				continue
			}
		}
		b = append(b, segment[i])
	}
	return b
}

// decodeRepeatedly appends to b what is left of s when every escape is decoded, also those that decoding makes: of %XX, and of
// the %uXXXX that some servers know. Escapes cannot overlap, so that the order of decoding does not matter and one pass
// is enough: an escape is decoded the moment its last digit stands there.
func decodeRepeatedly(b, s []byte) []byte {
	for _, c := range s {
		b = append(b, c)
		for {
			n := len(b)
			if n >= 6 && b[n-6] == '%' && b[n-5] == 'u' {
				high, low := decodeEscape(string(b[n-5:n-2])), decodeEscape("%"+string(b[n-2:]))
				if high >= 0 && low >= 0 {
					b = append(b[:n-6], foldFullwidth(high, low))
					continue
				}
			}
			if n < 3 || b[n-3] != '%' {
				break
			}
			v := decodeEscape(string(b[n-3:]))
			if v < 0 {
				break
			}
			b = append(b[:n-3], byte(v))
		}
	}
	return b
}

// foldFullwidth is the ASCII character that %uXXXX is taken for, full-width forms and what looks like dots and slashes among
// them, or one that means nothing.
func foldFullwidth(high, low int) byte {
	if plain := dotOrSlash(rune(high<<8 | low)); plain != "" {
		return plain[0]
	}
	switch {
	case high == 0 && low < utf8.RuneSelf:
		return byte(low)
	case high == 0xff && 0 < low && low < 0x5f:
		return byte(low + 0x20)
	}
	return 'x'
}

// hasDotSegment reports whether a decoded segment is a dot segment, or holds one between separators, to a server that cuts
// it at a parameter, a query or a fragment, leaves out the spaces around it, or takes other characters for dots and slashes.
func hasDotSegment(b []byte) bool {
	var buffer [256]byte
	if bytes.ContainsFunc(b, func(r rune) bool { return dotOrSlash(r) != "" }) {
		b = replaceLookalikes(buffer[:0], b)
	}
	for more := true; more; {
		piece := b
		end := bytes.IndexAny(b, separators)
		if more = end >= 0; more {
			piece, b = b[:end], b[end+1:]
		}
		if i := bytes.IndexAny(piece, ";?#"); i >= 0 {
			piece = piece[:i]
		}
		piece = bytes.Trim(piece, " ")
		if string(piece) == "." || string(piece) == ".." {
			return true
		}
	}
	return false
}

// dotOrSlash is the dots or the slash that a character beyond ASCII becomes by compatibility decomposition (NFKC) or by
// Windows's best fit; "" for any other.
func dotOrSlash(r rune) string {
	switch r {
	case '\uff0e', '\u2024', '\ufe52': // full-width full stop, one dot leader, small full stop
		return "."
	case '\u2025': // two dot leader
		return ".."
	case '\uff0f', '\u2044', '\u2215', '\uff3c', '\ufe68', '\u2216': // full-width, fraction and division slash; backslashes
		return "/"
	}
	return ""
}

// replaceLookalikes appends to b what such characters become, and everything else as it is.
func replaceLookalikes(b, s []byte) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		if plain := dotOrSlash(r); plain != "" {
			b = append(b, plain...)
		} else {
			b = append(b, s[:n]...)
		}
		s = s[n:]
	}
	return b
}

// hasOverlong reports whether b holds an ASCII character in more bytes than UTF-8 allows it.
func hasOverlong(b []byte) bool {
	for i := 0; i+1 < len(b); i++ {
		next := b[i+1]
		switch c := b[i]; {
		case (c == 0xc0 || c == 0xc1) && next&0xc0 == 0x80,
			c == 0xe0 && 0x80 <= next && next < 0xa0,
			c == 0xf0 && 0x80 <= next && next < 0x90:
			return true
		}
	}
	return false
}

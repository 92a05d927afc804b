package request

import "strings"

// FoldCase is the path with its ASCII letters in lower case, as servers read it that fold case. Letters beyond ASCII stay as
// they are; hexadecimal digits of escapes do too. Where there is nothing to fold, it is p itself.
func (p Path) FoldCase() Path {
	for i := 0; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '%':
			i += 2
		case 'A' <= c && c <= 'Z':
			return Path{text: foldEscaped(p.text), ambiguities: p.ambiguities}
		}
	}
	return p
}

// foldEscaped is a canonical path in lower case.
func foldEscaped(s string) string {
	b := []byte(s)
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '%':
			i += 2
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// FoldSegment is a decoded segment with its ASCII letters in lower case.
func FoldSegment(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// asciiFold is what a letter beyond ASCII is to servers that fold case, where that is all ASCII: its upper, lower, title or
// folded form (Unicode, UnicodeData.txt, SpecialCasing.txt and CaseFolding.txt), which may be of several letters. It is ""
// for any other letter, and in lower case.
func asciiFold(r rune) string {
	switch r {
	case 'ß', 'ẞ':
		return "ss"
	case 'İ', 'ı': // U+0130 and U+0131, with a dot and without
		return "i"
	case 'ſ': // U+017F LATIN SMALL LETTER LONG S
		return "s"
	case '\u212a': // KELVIN SIGN
		return "k"
	case 'ﬀ':
		return "ff"
	case 'ﬁ':
		return "fi"
	case 'ﬂ':
		return "fl"
	case 'ﬃ':
		return "ffi"
	case 'ﬄ':
		return "ffl"
	case 'ﬅ', 'ﬆ':
		return "st"
	}
	return ""
}

// FoldsIntoASCII reports whether a text holds a letter beyond ASCII that some servers take for letters of ASCII.
func FoldsIntoASCII(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return asciiFold(r) != "" })
}

// expandIntoASCII is a text with what such letters fold into in their place.
func expandIntoASCII(s string) string {
	if !FoldsIntoASCII(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if folded := asciiFold(r); folded != "" {
			b.WriteString(folded)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// FoldsIntoASCII reports whether the path, decoded to its end, holds such a letter.
func (p Path) FoldsIntoASCII() bool {
	return strings.IndexByte(p.text, '%') >= 0 && FoldsIntoASCII(DecodeFully(p.text))
}

// IsWindowsAlias reports whether the path, decoded to its end, names on Windows what a plainer one names too: a segment there
// is the same without dots and spaces at its end, and what follows a colon names a stream of the file
// (/admin::$INDEX_ALLOCATION).
func (p Path) IsWindowsAlias() bool {
	if !strings.ContainsAny(p.text, "%.:") {
		return false
	}
	for segment := range strings.SplitSeq(DecodeFully(p.text), "/") {
		if IsWindowsAlias(segment) {
			return true
		}
	}
	return false
}

// IsWindowsAlias reports whether a decoded segment is such an alias, with what follows a semicolon or without.
func IsWindowsAlias(segment string) bool {
	before, _, _ := strings.Cut(segment, ";")
	return strings.HasSuffix(segment, ".") || strings.HasSuffix(segment, " ") ||
		strings.HasSuffix(before, ".") || strings.HasSuffix(before, " ") || strings.IndexByte(segment, ':') >= 0
}

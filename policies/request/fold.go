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

// foldsIntoASCII are the letters beyond ASCII that fold into a letter of ASCII (Unicode, CaseFolding.txt): U+212A KELVIN SIGN
// and U+017F LATIN SMALL LETTER LONG S.
const foldsIntoASCII = "\u212a\u017f"

// FoldsIntoASCII reports whether a text holds a letter beyond ASCII that some servers take for a letter of ASCII.
func FoldsIntoASCII(s string) bool { return strings.ContainsAny(s, foldsIntoASCII) }

// FoldsIntoASCII reports whether the path holds such a letter.
func (p Path) FoldsIntoASCII() bool {
	return strings.Contains(p.text, "%E2%84%AA") || strings.Contains(p.text, "%C5%BF")
}

package request

import (
	"slices"
	"strings"
	"testing"
	"unicode"
)

// TestLettersThatFoldIntoASCII: every letter whose upper, lower, title or folded form is ASCII is known, those of one letter
// from package unicode, those of several from SpecialCasing.txt and CaseFolding.txt.
func TestLettersThatFoldIntoASCII(t *testing.T) {
	t.Parallel()
	several := map[rune]string{
		0xdf: "ss", 0x1e9e: "ss", 0xfb00: "ff", 0xfb01: "fi", 0xfb02: "fl", 0xfb03: "ffi", 0xfb04: "ffl", 0xfb05: "st", 0xfb06: "st",
	}
	for r := rune(unicode.MaxASCII + 1); r <= unicode.MaxRune; r++ {
		forms := []rune{unicode.ToUpper(r), unicode.ToLower(r), unicode.ToTitle(r)}
		for folded := unicode.SimpleFold(r); folded != r; folded = unicode.SimpleFold(folded) {
			forms = append(forms, folded)
		}
		want := several[r]
		if i := slices.IndexFunc(forms, func(form rune) bool { return form <= unicode.MaxASCII }); i >= 0 {
			want = strings.ToLower(string(forms[i]))
		}
		if got := asciiFold(r); got != want {
			t.Errorf("%U: %q, want %q", r, got, want)
		}
		if want == "" {
			continue
		}
		escaped := "/x" + escape(string(r))
		if p, err := ParsePath(escaped); err != nil || !p.FoldsIntoASCII() {
			t.Errorf("%s: %v", escaped, err)
		}
		if !isParameterAlias("x"+want+"y", "X"+string(r)+"Y") {
			t.Errorf("x%sy is not known in x%cy", want, r)
		}
	}
	for _, path := range []string{"/caf%C3%A9", "/%CE%A3%CF%82", "/%C5%89", "/ss", "/%E2%84%AB"} {
		if p, err := ParsePath(path); err != nil || p.FoldsIntoASCII() {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// escape is a text with every byte escaped.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// TestAliasesOfWindows: names that Windows takes for others.
func TestAliasesOfWindows(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/admin.": true, "/admin./x": true, "/admin%20": true, "/admin%20./x": true, "/admin::$INDEX_ALLOCATION": true, "/a%3Ab": true,
		"/admin.;x": true, "/admin%20;x=1": true, "/admin%252E": true, "/admin%2520": true, "/x%2Fadmin.%2Fy": true,
		"/admin": false, "/a.b": false, "/.hidden/x": false, "/a%20b": false, "/": false, "/100%25": false,
	} {
		if p, err := ParsePath(path); err != nil || p.IsWindowsAlias() != want {
			t.Errorf("%s: %v, %v", path, p.IsWindowsAlias(), err)
		}
	}
}

package request

import (
	"errors"
	"strings"
	"testing"
)

func TestPathIsRespelt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want string
		odd      Ambiguity
	}{
		{"/", "/", 0},
		{"/admin", "/admin", 0},
		{"/admin/", "/admin/", 0},
		{"/%61dmin", "/admin", 0},
		{"/%61%64%6D%69%6e", "/admin", 0},
		{"/%7e%41%2d%2E%5fz", "/~A-._z", 0},
		{"/caf%c3%a9", "/caf%C3%A9", 0},
		{"/caf\xc3\xa9", "/caf%C3%A9", 0},
		{"/a b", "/a%20b", 0},
		{"/a%20b", "/a%20b", 0},
		{"/a+b", "/a+b", 0},
		{`/"<>^` + "`" + `{|}[]`, "/%22%3C%3E%5E%60%7B%7C%7D%5B%5D", 0},
		{"/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,=", 0},
		{"/%2c%3A", "/%2C%3A", 0},
		{"/a%3fb", "/a%3Fb", 0},
		{"/100%25", "/100%25", 0},
		{"/%2541", "/%2541", 0},
		{"/%25252541", "/%25252541", 0},
		{"/%25ff", "/%25ff", 0},
		{"/...", "/...", 0},
		{"/..x/.x/x..", "/..x/.x/x..", 0},
		{"/.well-known/x", "/.well-known/x", 0},
		{"/a%2fb", "/a%2Fb", EncodedSlash},
		{"/a%2F", "/a%2F", EncodedSlash},
		{"/a%2F/b", "/a%2F/b", EncodedSlash | DoubleSlash},
		{"/%2fadmin", "/%2Fadmin", EncodedSlash | DoubleSlash},
		{"/a%2f%2fb", "/a%2F%2Fb", EncodedSlash | DoubleSlash},
		{"//admin", "//admin", DoubleSlash},
		{"/admin//", "/admin//", DoubleSlash},
		{"/a;x=1/b", "/a;x=1/b", Semicolon},
		{"/a%3bx", "/a%3Bx", Semicolon},
		{"/a/;x", "/a/;x", Semicolon},
		{"/a/;x/b", "/a/;x/b", Semicolon | DoubleSlash},
		{"/a%253bx", "/a%253bx", 0},
		{"/C%23%20notes.txt", "/C%23%20notes.txt", EncodedHash},
		{"/%23room%3aexample.com", "/%23room%3Aexample.com", EncodedHash},
		{"/a%5cb", "/a%5Cb", EncodedBackslash},
		{"/%5ca", "/%5Ca", EncodedBackslash | DoubleSlash},
		{"/a%5C/b", "/a%5C/b", EncodedBackslash | DoubleSlash},
		{"/a%5C", "/a%5C", EncodedBackslash},
		{"/a%5C%2fb", "/a%5C%2Fb", EncodedSlash | EncodedBackslash | DoubleSlash},
		{"/release%252F1.12.1/5", "/release%252F1.12.1/5", DoubleEncoding},
		{"/a%252f", "/a%252f", DoubleEncoding},
		{"/a%252f/b", "/a%252f/b", DoubleEncoding | DoubleSlash},
		{"/%25%32%66admin", "/%252fadmin", DoubleEncoding | DoubleSlash},
		{"/x%2525252525252f", "/x%2525252525252f", DoubleEncoding},
		{"/x%25%2532%2566", "/x%25%2532%2566", DoubleEncoding},
		{"/a%252f%2fb", "/a%252f%2Fb", EncodedSlash | DoubleEncoding | DoubleSlash},
		{"/a%25u002fb", "/a%25u002fb", DoubleEncoding},
		{"/a%255Cb", "/a%255Cb", DoubleEncoding | EncodedBackslash},
		{"/a%25%35%63b", "/a%255cb", DoubleEncoding | EncodedBackslash},
		{"/%25%35%63", "/%255c", DoubleEncoding | EncodedBackslash | DoubleSlash},
		{"/%2523", "/%2523", DoubleEncoding | EncodedHash},
		{"/%23%252523", "/%23%252523", DoubleEncoding | EncodedHash},
	} {
		got, err := ParsePath(c.in)
		if err != nil || got.String() != c.want || got.Ambiguities() != c.odd {
			t.Errorf("ParsePath(%q) = %q with %q, %v; want %q with %q", c.in, got, got.Ambiguities(), err, c.want, c.odd)
			continue
		}
		again, err := ParsePath(got.String())
		if err != nil || again != got {
			t.Errorf("ParsePath(%q) = %q, %v: canonicalising again changes it", got, again, err)
		}
	}
}

// TestFullWidthFormsInNames: what looks like a dot or a slash is refused where it makes a dot segment, and nowhere else.
func TestFullWidthFormsInNames(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/%EF%BC%A1%EF%BC%8Etxt", "/a%EF%BC%8Fb", "/%E2%80%A5%E2%80%A5", "/%E2%80%A6", "/1%E2%81%842", "/%EF%BC%8Ehidden", "/a%EF%BC%BCb"} {
		if p, err := ParsePath(path); err != nil || p.String() != path || p.Ambiguities() != 0 {
			t.Errorf("%s: %s (%v), %v", path, p, p.Ambiguities(), err)
		}
	}
}

// TestPathConfusion is the family of spellings that some server reads as another path (Envoy CVE-2021-29492, Traefik
// CVE-2025-32431, Oathkeeper CVE-2026-33494 and their relatives).
func TestPathConfusion(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"", "admin", "*", "?", "http://x/admin",
		"/public/../admin", "/public/..%2fadmin", "/public/%2e%2e/admin", "/public/%2E./admin", "/public/.%2e/admin",
		"/public/..%252fadmin", "/public/%252e%252e/admin", "/public/%25252e%25252e%25252fadmin", "/public/%252e%252e%252fadmin",
		"/public//../admin", "//../admin", "/public/..;/admin", "/public/..;x=1/admin", "/public/%2e%2e;/admin",
		"/public/..%3b/admin", "/public/..%253b/admin", "/public/..%253b%252fadmin", "/public/..%3f/admin", "/public/..%253f/admin",
		"/public/..%20/admin", "/public/%20../admin", "/public/.%20", "/public/..%2520/admin",
		"/public/x%2f..%2fadmin", "/public/x%2f..", "/public/..%2f", "/public/x%2f.%2fy", "/public/x%2f..;y%2fadmin",
		`/public/..\admin`, `/public\..\admin`, "/public/..%5cadmin", "/public%5c..%5cadmin", "/public/..%255cadmin", "/a%5c..%5cb", "/%2e%2e%5c", "/..%5C", "/.%5C.", "/a%5C%2e", "/a%5c..", "/a%2F..%5cb",
		"/a%255c..%255cb", "/%252e%252e%5c", "/a%5C%252e%252e", "/a%25255c..", "/a%5c..%3bx%5cb", "/a%5c%20..", "/a%5c%EF%BC%8E.", "/a%25u005c..", "/a/%5c../b",
		"/public/%00/../admin", "/x%00", "/x\x00", "/%2500", "/..%00/admin", "/x%2525%30%30",
		"/x%0a", "/x%0d%0a", "/x%09", "/x%7f", "/x\n", "/x\x7f", "/x\t",
		"/%c0%ae%c0%ae/admin", "/..%c0%afadmin", "/%e0%80%ae/admin", "/%f0%80%80%af", "/%ff", "/%c3", "/%ed%a0%80", "/\xff", "/%c3/%a9", "/%c3/\xa9",
		"/%25c0%25ae%25c0%25ae/admin", "/..%25c0%25afadmin", "/%25e0%2580%25ae", "/%25f0%2580%2580%25af",
		"/%u002e%u002e/admin", "/%25u002e%25u002e/admin", "/..%25u002fadmin", "/..%25u005cadmin", "/..%25uff0fadmin", "/%25uff0e%25uFF0E/x",
		"/x/%EF%BC%8E%EF%BC%8E/admin", "/%EF%BC%8E.%EF%BC%8Fadmin", "/x/..%EF%BC%8Fadmin", "/%EF%BC%8F..", "/x%EF%BC%BC..%EF%BC%BCadmin", "/%E2%80%A4%E2%80%A4/admin",
		"/%E2%80%A5/admin", "/%EF%B9%92./admin", "/..%E2%88%95admin", "/..%EF%B9%A8admin", "/%25EF%25BC%258E%25EF%25BC%258E/admin", "/%25u2024%25u2024/x", "/..%25u2215admin",
		"/%", "/%2", "/%zz", "/%g0", "/%%32%65", "/%0", "/a%", "/%-1", "/%+1", "/% 1", "/%2/e",
		"/public/%2e", "/public/%2e/", "/.", "/..", "/./admin", "/public/.", "/public/./",
		"/public/#/../admin", "/x#", "/#admin", `/a\b`, "/%23#", "/%252523/%25252e", "/%23/..", "/..%23", "/..%2523", "/a%252f..%2523x",
		"/%252e%252e", "/%25252e%2525252e", "/%25252e%25252e%2525252fadmin", "/a%25252f.", "/%252500", "/a%5C%2500", "/a%23%00",
		"/%2e%252e/admin", "/%25%32%65%25%32%65/admin", "/%252%65%252%65/", "/a%252f%252e%252e%252fb",
	} {
		got, err := ParsePath(path)
		var malformed *Malformed
		if !errors.As(err, &malformed) || got != (Path{}) {
			t.Errorf("ParsePath(%q) = %q, %v; want a *Malformed", path, got, err)
		}
	}
}

// TestDeepEscapesTakeLinearTime: every level of decoding is looked at, in one pass. (Level by level, this takes minutes.)
func TestDeepEscapesTakeLinearTime(t *testing.T) {
	t.Parallel()
	deep := "/%" + strings.Repeat("25", 1<<20)
	if _, err := ParsePath(deep + "41"); err != nil {
		t.Error(err)
	}
	if p, err := ParsePath("/x" + deep[1:] + "2f"); err != nil || p.Ambiguities() != DoubleEncoding {
		t.Errorf("a slash escaped a million times: %v, %v", p.Ambiguities(), err)
	}
	if _, err := ParsePath(deep + "2e"); err == nil {
		t.Error("a dot segment escaped a million times was not found")
	}
}

// TestDecodeFully: what a server reads that never stops decoding and takes \ for /, where that is another path.
func TestDecodeFully(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/": "", "/a%20b/%C3%A9": "", "/a%2Fb": "", "/C%23": "", "/100%25": "", "/100%25x": "", "/a;b%3Bc": "",
		"/%2561dmin": "/admin", "/a%5Cb": "/a/b", "/a%255Cb": "/a/b", "/x%25252F%2523": "/x/#", "/a%2Fb%252Fc": "/a/b/c", "/%2525%32%35": "/%",
		"/%252541": "/A", "/a%25ff": "/a\xff", "/a%2520b%253B": "/a b;", "/a%5C%5C": "/a//", "/%25u0041": "/A", "/50%2525": "/50%",
	} {
		p, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, further := DecodeFully(p.String()), p.DecodesFurther(); further != (want != "") || further && got != want {
			t.Errorf("%s, decoded to its end, is %q, %v; want %q", path, got, further, want)
		}
	}
	for path, want := range map[string]bool{"/admin.%5Cx": true, "/x%5Cadmin%20": true, "/x%255Cy%253Az": true, "/a%5Cb": false} {
		if p, err := ParsePath(path); err != nil || p.IsWindowsAlias() != want {
			t.Errorf("%s: an alias on Windows: %v, %v", path, !want, err)
		}
	}
}

func TestCanonicalPathsCostNoAllocation(t *testing.T) {
	for _, path := range []string{
		"/", "/invoices/7/refund", "/.well-known/x", "/caf%C3%A9/a%20b/100%25", "/a;x=1//b%2Fc", "/" + strings.Repeat("segment/", 50),
	} {
		target := path + "?a=1"
		if n := testing.AllocsPerRun(100, func() {
			if _, err := Canonicalise("GET", "billing-api.viloforge.com:8443", target); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Canonicalise(%q): %v allocations", path, n)
		}
	}
}

func BenchmarkCanonicalise(b *testing.B) {
	for name, path := range map[string]string{
		"Canonical": "/service-500/42/items/a/b/c", "Escaped": "/caf%C3%A9/a%20b/100%25", "Respelt": "/%63af%c3%a9/a b",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Canonicalise("GET", "billing-api.viloforge.com", path); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

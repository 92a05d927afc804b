package request

import (
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzCanonicalise: a path that is taken has one spelling, which every parser downstream reads alike.
func FuzzCanonicalise(f *testing.F) {
	for _, target := range []string{
		"/", "/admin", "/%61dmin", "/public/../admin", "/public/..%2fadmin", "/public/%252e%252e/admin", "//../admin", "/public/..;/admin",
		`/public/..\admin`, "/public/..%5cadmin", "/x%00", "/%c0%ae%c0%ae/admin", "/%c3%a9", "/\xc3\xa9", "/a b\"<>^`{|}[]", "/%7e%2c%3a",
		"/100%25", "/%25%32%65", "/%2525252e", "/%25u002e%25u002e/", "/a%2fb", "/a//b", "/a;b=c/d", "/a%3bb", "/x?a=1;b=2", "/x?", "/x#", "/%zz", "*", "http://a/",
		"/C%23", "/%2523", "/a%5cb", "/a%5c..%5cb", "/..%5C", "/a%255cb", "/job/release%252F1.12.1/5", "/a%252f%252e%252e%252fb", "/%25252e%2525252e", "/a%25u005c..", "/%5C%2f%5C", "/a%3Fb", "/a%253Fb",
	} {
		f.Add("GET", "website.viloforge.com:8443", target)
	}
	f.Add("get", "WEBSITE.viloforge.com", "/x")
	f.Add("GET", "[::1]:80", "/x")
	f.Add("GET", "bob@a.example.", "/x")
	f.Fuzz(func(t *testing.T, method, authority, raw string) {
		got, err := Canonicalise(method, authority, raw)
		if err != nil {
			if _, ok := err.(*Malformed); !ok || got != (Target{}) {
				t.Fatalf("%+v, %v", got, err)
			}
			return
		}
		text := got.Path.String()
		if isPlainPath(text) && (normalised(t, text) != text || got.Path.Ambiguities() != 0) {
			t.Fatalf("%q is no plain path", text)
		}
		again, err := ParsePath(text)
		if err != nil || again != got.Path {
			t.Fatalf("%q is %q, and that is %q, %v", raw, got.Path, again, err)
		}
		if host, err := ParseHost(string(got.Host)); err != nil || host != got.Host {
			t.Fatalf("%q is %q, and that is %q, %v", authority, got.Host, host, err)
		}
		for _, c := range []byte(text) {
			if c <= ' ' || c >= 0x7f || strings.IndexByte("\\#?\"<>^`{|}[]", c) >= 0 {
				t.Fatalf("%q is forwarded as %q", raw, text)
			}
		}
		if _, query, found := strings.Cut(raw, "?"); query != got.Query || found != got.HasQuery {
			t.Fatalf("the query of %q is %q", raw, got.Query)
		}
		decoded, err := url.PathUnescape(text)
		if err != nil || !utf8.ValidString(decoded) {
			t.Fatalf("%q: %v", text, err)
		}
		odd := got.Path.Ambiguities()
		checkDecoded(t, decoded, odd)
		if odd&^(Semicolon|EncodedHash) == 0 {
			// With nothing to clean, what Go's mux serves is what was forwarded; a final slash apart.
			if clean := path.Clean(decoded); clean != strings.TrimSuffix(decoded, "/") && decoded != "/" {
				t.Errorf("%q: Go cleans %q to %q", raw, decoded, clean)
			}
			if strings.Count(decoded, "/") != strings.Count(text, "/") {
				t.Errorf("%q is odd", text)
			}
		}
		for deeper := decoded; ; {
			next, err := url.PathUnescape(deeper)
			if err != nil || next == deeper {
				break
			}
			checkDecoded(t, next, odd)
			if odd&DoubleEncoding == 0 {
				for _, letter := range []string{"/", `\`, "#"} {
					if strings.Count(next, letter) != strings.Count(decoded, letter) {
						t.Errorf("%q is decoded to %q", raw, next)
					}
				}
			}
			deeper = next
		}
		full := DecodeFully(text)
		checkDecoded(t, full, odd)
		if got.Path.DecodesFurther() != (full != decoded || strings.Contains(full, "?")) {
			t.Errorf("%q, decoded to its end, is %q", raw, full)
		}
	})
}

// checkDecoded checks a path that was decoded once or more often for what no server may ever see, whatever a route
// permits: NUL and dot segments, where \ separates segments too; and for # and \ that no permission was needed for.
func checkDecoded(t *testing.T, decoded string, odd Ambiguity) {
	t.Helper()
	if strings.Contains(decoded, "\x00") || odd&EncodedBackslash == 0 && strings.Contains(decoded, `\`) || odd&EncodedHash == 0 && strings.Contains(decoded, "#") {
		t.Errorf("NUL, or \\ or # without need of a permission, in %q", decoded)
	}
	for segment := range strings.SplitSeq(strings.ReplaceAll(decoded, `\`, "/"), "/") {
		segment, _, _ = strings.Cut(segment, ";")
		if segment == "." || segment == ".." {
			t.Errorf("a dot segment in %q", decoded)
		}
	}
}

// FuzzParseOrigin: an origin that is taken is spelt as a browser spells it.
func FuzzParseOrigin(f *testing.F) {
	for _, s := range []string{"https://a.example", "HTTPS://A:443", "http://[::1]:80", "null", "https://u@a/", "https://*.a", "https://a:65536"} {
		f.Add(s, 8443)
	}
	f.Fuzz(func(t *testing.T, s string, port int) {
		origin, err := ParseOrigin(s, port)
		if err != nil {
			return
		}
		if u, err := url.Parse(string(origin)); err != nil || u.Scheme+"://"+u.Host != string(origin) || strings.ToLower(u.Host) != u.Host {
			t.Errorf("%q is %q: %v", s, origin, err)
		}
	})
}

// normalised is a path as the long way has it: every escape and every segment looked at.
func normalised(t *testing.T, path string) string {
	t.Helper()
	text, err := normaliseEscapes(path)
	if err != nil {
		t.Fatalf("%q: %v", path, err)
	}
	for segment := range strings.SplitSeq(text[1:], "/") {
		if ambiguity, err := checkSegment(segment, true); err != nil || ambiguity != 0 {
			t.Fatalf("%q: %v, %v", path, ambiguity, err)
		}
	}
	return text
}

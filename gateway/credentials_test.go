package gateway

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/viloforge/vilogate/policies/request"
)

var testCookies = []Cookie{{"__Secure-sso", "vilogate"}, {"jwt", "legacy"}}

func TestEveryValueOfACookieIsRead(t *testing.T) {
	for name, c := range map[string]struct{ lines, want []string }{
		"one line":               {[]string{"__Secure-sso=a; __Secure-sso=b"}, []string{"a", "b"}},
		"two lines":              {[]string{"__Secure-sso=a", "__Secure-sso=b"}, []string{"a", "b"}},
		"the other order":        {[]string{"__Secure-sso=b; x=1; __Secure-sso=a"}, []string{"b", "a"}},
		"white space":            {[]string{" __Secure-sso = a ;\t__Secure-sso=b"}, []string{"a", "b"}},
		"three, two of them one": {[]string{"__Secure-sso=a; __Secure-sso=a; __Secure-sso=b"}, []string{"a", "b"}},
		"an empty one":           {[]string{"__Secure-sso=a; __Secure-sso="}, []string{"a", ""}},
		"one":                    {[]string{"__Secure-sso=a; __Secure-sso=a"}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := readCredentials(http.Header{"Cookie": c.lines}, testCookies).cookies[0]
			if values := append([]string{got.value}, got.others...); !got.sent || !slices.Equal(values, c.want) {
				t.Errorf("%q: %q, want %q", c.lines, values, c.want)
			}
		})
	}
}

func TestBearerTokens(t *testing.T) {
	for _, test := range []struct {
		value, token string
		bearer       bool
	}{
		{"Bearer abc", "abc", true},
		{"bearer abc", "abc", true},
		{"BEARER\tabc ", "abc", true},
		{"Bearer", "", true},
		{"Bearer ", "", true},
		{"Bearerabc", "", false},
		{"Basic abc", "", false},
		{"", "", false},
		{"Bearer a b", "a b", true},
		{"Bearer\u00a0abc", "\u00a0abc", true},
		{"Bearer-Else abc", "", false},
	} {
		token, bearer := request.BearerToken(test.value)
		if token != test.token || bearer != test.bearer {
			t.Errorf("BearerToken(%q) = %q, %t; want %q, %t", test.value, token, bearer, test.token, test.bearer)
		}
	}
}

func TestOtherCookiesStayIntactAndInOrder(t *testing.T) {
	for _, test := range []struct {
		lines []string
		keep  int
		want  []string
	}{
		{[]string{"a=1; __Secure-sso=x; b=2"}, -1, []string{"a=1; b=2"}},
		{[]string{"__Secure-sso=x"}, -1, nil},
		{[]string{"a=1", "jwt=x; b=\"q;\""}, -1, []string{"a=1; b=\"q; \""}},
		{[]string{"jwt=x; __Secure-sso=y; c"}, 1, []string{"jwt=x; c"}},
		{[]string{"__secure-sso=x; __Secure-sso-not=y"}, -1, []string{"__secure-sso=x; __Secure-sso-not=y"}},
		{[]string{" __Secure-sso =x;; a=1 "}, -1, []string{"a=1 "}},
		{[]string{"__Secure-sso; a=1"}, -1, []string{"a=1"}},
		{[]string{"jwt=x; \u3000jwt=y"}, 1, []string{"jwt=x"}},
		{[]string{"jwt=x, jwt=y; a=1"}, 1, []string{"a=1"}},
		{[]string{"a=1 jwt=x", "\xa0jwt\x85=x; b=2"}, -1, []string{"b=2"}},
		{[]string{"next=/?jwt=x; ajwt=1; jwta=1; a=jwt"}, -1, []string{"next=/?jwt=x; ajwt=1; jwta=1; a=jwt"}},
	} {
		h := http.Header{"Cookie": slices.Clone(test.lines)}
		stripCookies(h, testCookies, test.keep)
		if got := h["Cookie"]; !slices.Equal(got, test.want) {
			t.Errorf("%q without SSO cookies is %q, want %q", test.lines, got, test.want)
		}
	}
}

// parseAsDjango is how Django reads a Cookie header.
func parseAsDjango(header string) (names, values []string) {
	for chunk := range strings.SplitSeq(header, ";") {
		name, value, ok := strings.Cut(chunk, "=")
		if !ok {
			name, value = "", chunk
		}
		names = append(names, strings.Trim(name, " \t"))
		values = append(values, strings.Trim(value, " \t"))
	}
	return names, values
}

func FuzzCookies(f *testing.F) {
	f.Add("__Secure-sso=a; b=c", "jwt=x")
	f.Add(" __Secure-sso = a;;;", "a")
	f.Add("__Secure-sso=a; __Secure-sso=b", "")
	f.Add("=;=;", "jwt")
	f.Fuzz(func(t *testing.T, first, second string) {
		sent := http.Header{"Cookie": {first, second}}
		credentials := readCredentials(sent, testCookies)
		names, values := parseAsDjango(first + "; " + second)
		for i, known := range testCookies {
			seen := map[string]bool{}
			for j, name := range names {
				if name == known.Name {
					seen[values[j]] = true
				}
			}
			found := credentials.cookies[i]
			if found.sent != (len(seen) > 0) || found.sent && 1+len(found.others) != len(seen) {
				t.Fatalf("%q, %q: %s read as %+v, a backend sees %v", first, second, known.Name, found, seen)
			}
		}
		stripCookies(sent, testCookies, -1)
		left, _ := parseAsDjango(strings.Join(sent["Cookie"], "; "))
		for _, name := range left {
			if cookieIndex(testCookies, strings.TrimFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == '\ufeff' })) >= 0 {
				t.Fatalf("%q, %q: stripped to %q, in which a backend finds %q", first, second, sent["Cookie"], name)
			}
		}
		var want []string
		for i, name := range names {
			if name != "" && !mayContainCookie(name+"="+values[i], testCookies) {
				want = append(want, name)
			}
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == "" })
		if !slices.Equal(left, want) {
			t.Fatalf("%q, %q: stripped to %q, which a backend reads as %q; want %q", first, second, sent["Cookie"], left, want)
		}
	})
}

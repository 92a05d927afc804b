package gateway

import (
	"fmt"
	"iter"
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
			sent := http.Header{"Cookie": c.lines}
			got := readCredentials(sent, testCookies).cookies[0]
			if !got.sent || got.value != c.want[0] || got.several != (len(c.want) > 1) {
				t.Errorf("%q: %+v, want %q", c.lines, got, c.want)
			}
			if values := distinct(request.CookieValues(sent, "__Secure-sso")); !slices.Equal(values, c.want) {
				t.Errorf("%q: %q, want %q", c.lines, values, c.want)
			}
		})
	}
}

func distinct(values iter.Seq[string]) (all []string) {
	for value := range values {
		if !slices.Contains(all, value) {
			all = append(all, value)
		}
	}
	return all
}

// TestManyValuesOfACookieCostNothing: nothing is kept of them, so that reading them is one pass.
func TestManyValuesOfACookieCostNothing(t *testing.T) {
	line := strings.Builder{}
	for i := range 7000 {
		fmt.Fprintf(&line, "jwt=%03x;", i)
	}
	sent := http.Header{"Cookie": {line.String()}}
	if n := testing.AllocsPerRun(10, func() {
		if c := readCredentials(sent, testCookies); !c.cookies[1].several {
			t.Error("one value was read of many")
		}
	}); n > 2 {
		t.Errorf("%d bytes of cookies cost %v allocations", line.Len(), n)
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
	x := cookiePair{"jwt", "x"}
	for _, test := range []struct {
		lines []string
		keep  cookiePair
		want  []string
	}{
		{[]string{"a=1; __Secure-sso=x; b=2"}, cookiePair{}, []string{"a=1; b=2"}},
		{[]string{"__Secure-sso=x"}, cookiePair{}, nil},
		{[]string{"a=1", "jwt=x; b=\"q;\""}, cookiePair{}, []string{"a=1; b=\"q; \""}},
		{[]string{"jwt=x; __Secure-sso=y; c"}, x, []string{"jwt=x; c"}},
		{[]string{"__Secure-sso-not=y; _Secure-sso=z"}, cookiePair{}, []string{"__Secure-sso-not=y; _Secure-sso=z"}},
		{[]string{" __Secure-sso =x;; a=1 "}, cookiePair{}, []string{"a=1 "}},
		{[]string{"__Secure-sso; a=1"}, cookiePair{}, []string{"a=1"}},
		{[]string{"jwt=x; \u3000jwt=y"}, x, []string{"jwt=x"}},
		{[]string{"jwt=x, jwt=y; a=1"}, x, []string{"a=1"}},
		{[]string{"a=1 jwt=x", "\xa0jwt\x85=x; b=2"}, cookiePair{}, []string{"b=2"}},
		{[]string{"next=/?jwt=x; ajwt=1; jwta=1; a=jwt"}, cookiePair{}, []string{"next=/?jwt=x; ajwt=1; jwta=1; a=jwt"}},
		{[]string{"next=%20jwt%3Dx; a=%6Awt; a%2Cjwt=1; j.wt=1"}, cookiePair{}, []string{"next=%20jwt%3Dx; a=%6Awt; a%2Cjwt=1; j.wt=1"}},
		// Of several values the one that counted, once.
		{[]string{"jwt=w; a=1; jwt=x; jwt=x", "jwt=y"}, x, []string{"a=1; jwt=x"}},
		{[]string{"\tjwt = x ; jwt=\"x\""}, x, []string{"jwt=x"}},
		{[]string{"jwt=w"}, x, nil},
		// Aliases of a name.
		{[]string{"%6Awt=y; jwt=x; jw%74=y; %20jwt=y; +jwt=y; JWT=y; \"jwt\"=y; a=1, %6Awt=y"}, x, []string{"jwt=x"}},
		{[]string{"._Secure-sso=y; __secure-sso=y; %5F_Secure%2dsso=y; _ Secure-sso=y; _[Secure-sso=y; b=1"}, cookiePair{}, []string{"b=1"}},
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
			values := distinct(request.CookieValues(sent, known.Name))
			if found.sent != (len(seen) > 0) || found.several != (len(seen) > 1) || len(values) != len(seen) {
				t.Fatalf("%q, %q: %s read as %+v, %q, a backend sees %v", first, second, known.Name, found, values, seen)
			}
		}
		stripCookies(sent, testCookies, cookiePair{})
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

package request

import (
	"errors"
	"strings"
	"testing"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	label63 := strings.Repeat("a", 63)
	long := strings.Repeat(label63+".", 3) + strings.Repeat("a", 61)
	for in, want := range map[string]Host{
		"website.viloforge.com": "website.viloforge.com",
		"WebSite.ViloForge.COM": "website.viloforge.com",
		"localhost":             "localhost",
		"a-b.c1":                "a-b.c1",
		"xn--caf-dma.example":   "xn--caf-dma.example",
		"127.0.0.1":             "127.0.0.1",
		"[::1]":                 "[::1]",
		"[2001:DB8::1]":         "[2001:db8::1]",
		long:                    Host(long),
	} {
		if got, err := ParseHost(in); err != nil || got != want {
			t.Errorf("ParseHost(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ".", "website.viloforge.com.", ".viloforge.com", "a..b", "a_b.com", "a b", " a", "a ", "a\t", "a\x00", "caf\u00e9.example", "\u212a.example",
		"user@host", "a@b", "a:80", "a/b", "a\\b", "a,b", "a%2eb", "-a.b", "a-.b", "*.b", "a;b", "a?b", "a#b", "::1", "[::1", "::1]", "[]", "[x]", "[::1%25eth0]",
		"[::1].", label63 + "a.b", long + "a",
	} {
		if got, err := ParseHost(in); err == nil {
			t.Errorf("ParseHost(%q) = %q", in, got)
		}
	}
}

// TestHostNames: what browsers would read as an address, or write in another way, is no name.
func TestHostNames(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"website.viloforge.com": true, "localhost": true, "xn--caf-dma.example": true, "1.a": true, strings.Repeat("a", 63): true,
		"": false, ".": false, "A.example": false, "a.example.": false, ".a": false, "a..b": false, "a.1": false, "127.0.0.1": false, "127.1": false,
		"a.0x7f": false, "[::1]": false, "a:80": false, "-a": false, "a-": false, "a_b": false, "*.a": false, "a b": false, "caf\u00e9": false,
		strings.Repeat("a", 64): false, strings.Repeat("a.", 127) + "a": false,
	} {
		if IsHostName(s) != want {
			t.Errorf("%q: %t", s, !want)
		}
	}
}

func TestCanonicalise(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, authority, target string
		host                      Host
		port, path, query         string
		hasQuery                  bool
	}{
		{"GET", "a.example", "/", "a.example", "", "/", "", false},
		{"get", "A.Example:8443", "/x?", "a.example", "8443", "/x", "", true},
		{"PURGE", "[::1]:80", "/x?a=1;b=2&c=%zz", "[::1]", "80", "/x", "a=1;b=2&c=%zz", true},
		{"M-SEARCH", "[::1]", "/x??../y\\%00\xff", "[::1]", "", "/x", "?../y\\%00\xff", true},
		{"GET", "a.example:65535", "/%61?%61", "a.example", "65535", "/a", "%61", true},
	} {
		got, err := Canonicalise(c.method, c.authority, c.target)
		want := Target{c.method, c.host, c.port, Path{text: c.path}, c.query, c.hasQuery}
		if err != nil || got != want {
			t.Errorf("%s %s %s: %+v, %v; want %+v", c.method, c.authority, c.target, got, err, want)
		}
	}
}

// TestMalformedRequests: absolute-form targets are a second opinion about the host (Authelia CVE-2021-32637, Pomerium
// CVE-2023-33189); what could not stand on a request line would split one.
func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ method, authority, target string }{
		{"GET", "a.example", ""},
		{"GET", "a.example", "*"},
		{"OPTIONS", "a.example", "*"},
		{"GET", "a.example", "?x"},
		{"GET", "a.example", "x"},
		{"GET", "a.example", "https://a.example/x"},
		{"GET", "a.example", "http://b.example/x"},
		{"CONNECT", "a.example", "a.example:443"},
		{"GET", "a.example", " /x"},
		{"GET", "a.example", "/x?a b"},
		{"GET", "a.example", "/x?a HTTP/1.1\r\nX-User: admin\r\n\r\n"},
		{"GET", "a.example", "/x?\x00"},
		{"GET", "a.example", "/x?\x7f"},
		{"GET", "a.example", "/x?a#/../b"},
		{"GET", "a.example", "/x#?a"},
		{"", "a.example", "/"},
		{"GET ", "a.example", "/"},
		{"GE(T", "a.example", "/"},
		{"GET\r\n", "a.example", "/"},
		{"G\u00cbT", "a.example", "/"},
		{"GET", "", "/"},
		{"GET", "a.example.", "/"},
		{"GET", "a.example.:443", "/"},
		{"GET", "a.example:", "/"},
		{"GET", "a.example:0", "/"},
		{"GET", "a.example:0443", "/"},
		{"GET", "a.example:65536", "/"},
		{"GET", "a.example:4x3", "/"},
		{"GET", "a.example:+443", "/"},
		{"GET", "a.example:443:443", "/"},
		{"GET", "a.example:99999999999999999999", "/"},
		{"GET", "bob@a.example", "/"},
		{"GET", "bob:443@a.example", "/"},
		{"GET", "a.example, b.example", "/"},
		{"GET", "a.example/x", "/"},
		{"GET", ":443", "/"},
	} {
		got, err := Canonicalise(c.method, c.authority, c.target)
		var malformed *Malformed
		if !errors.As(err, &malformed) || malformed.Reason == "" || got != (Target{}) {
			t.Errorf("%q %q %q: %+v, %v", c.method, c.authority, c.target, got, err)
		}
	}
}

func TestTrimFinalDot(t *testing.T) {
	t.Parallel()
	for authority, want := range map[string]string{
		"a.example.": "a.example", "a.example.:443": "a.example:443", "a.example..": "a.example.", ".": ".", ".:443": ".:443", "": "",
		"a.example": "a.example", "a.example:443": "a.example:443", "[::1]": "[::1]", "[::1]:443": "[::1]:443",
	} {
		if got, found := TrimFinalDot(authority); got != want || found != (got != authority) {
			t.Errorf("%q: %q, %v", authority, got, found)
		}
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		port int
		want Origin
	}{
		{"https://a.example", 443, "https://a.example"},
		{"https://a.example", 8443, "https://a.example:8443"},
		{"https://a.example:443", 8443, "https://a.example"},
		{"HTTPS://A.Example:8443", 443, "https://a.example:8443"},
		{"http://localhost:3000", 8443, "http://localhost:3000"},
		{"http://localhost", 8443, "http://localhost"},
		{"http://localhost:80", 443, "http://localhost"},
		{"https://[::1]:8443", 443, "https://[::1]:8443"},
	} {
		if got, err := ParseOrigin(c.in, c.port); err != nil || got != c.want {
			t.Errorf("ParseOrigin(%q, %d) = %q, %v; want %q", c.in, c.port, got, err, c.want)
		}
	}
	for _, in := range []string{
		"", "null", "*", "a.example", "//a.example", "ftp://a.example", "https://", "https://a.example/", "https://a.example/x", "https://*.example",
		"https://a.example?", "https://a.example#", "https://u@a.example", "https://a.example:", "https://a.example:x", "https://a b", "https://a.example.",
	} {
		if got, err := ParseOrigin(in, 443); err == nil {
			t.Errorf("ParseOrigin(%q) = %q", in, got)
		}
	}
}

func TestForgery(t *testing.T) {
	t.Parallel()
	const own, friend, foe = "https://website.viloforge.com:8443", "https://app.viloforge.com", "https://evil.example"
	for name, c := range map[string]struct {
		facts CSRFFacts
		want  bool
	}{
		"safe method":                        {CSRFFacts{Method: "GET", SecFetchSite: "cross-site", Origin: []string{foe}}, true},
		"HEAD":                               {CSRFFacts{Method: "HEAD"}, true},
		"lower case is another method":       {CSRFFacts{Method: "get"}, false},
		"nothing said":                       {CSRFFacts{Method: "POST"}, false},
		"same origin":                        {CSRFFacts{Method: "POST", SecFetchSite: "same-origin"}, true},
		"same site is not enough":            {CSRFFacts{Method: "POST", SecFetchSite: "same-site"}, false},
		"cross site":                         {CSRFFacts{Method: "POST", SecFetchSite: "cross-site"}, false},
		"two values of Sec-Fetch-Site":       {CSRFFacts{Method: "POST", SecFetchSite: "same-origin,cross-site"}, false},
		"typed by the person":                {CSRFFacts{Method: "POST", SecFetchSite: "none", SecFetchMode: "navigate"}, true},
		"none without a navigation":          {CSRFFacts{Method: "POST", SecFetchSite: "none", SecFetchMode: "cors"}, false},
		"own origin":                         {CSRFFacts{Method: "DELETE", Origin: []string{own}}, true},
		"own origin, said twice":             {CSRFFacts{Method: "DELETE", Origin: []string{own, own}}, true},
		"allowed origin of the same site":    {CSRFFacts{Method: "PUT", SecFetchSite: "same-site", Origin: []string{friend}}, true},
		"sibling that is not allowed":        {CSRFFacts{Method: "PUT", SecFetchSite: "same-site", Origin: []string{"https://other.viloforge.com"}}, false},
		"foreign origin":                     {CSRFFacts{Method: "POST", SecFetchSite: "cross-site", Origin: []string{foe}}, false},
		"own host, other port":               {CSRFFacts{Method: "POST", Origin: []string{"https://website.viloforge.com"}}, false},
		"own host, other scheme":             {CSRFFacts{Method: "POST", Origin: []string{"http://website.viloforge.com:8443"}}, false},
		"own origin as a prefix":             {CSRFFacts{Method: "POST", Origin: []string{own + ".evil.example"}}, false},
		"null":                               {CSRFFacts{Method: "POST", Origin: []string{"null"}}, false},
		"null, though somebody allowed it":   {CSRFFacts{Method: "POST", Origin: []string{"null"}, CORSOrigins: []Origin{"null"}}, false},
		"null of a page without referrer":    {CSRFFacts{Method: "POST", SecFetchSite: "same-origin", Origin: []string{"null"}}, true},
		"empty":                              {CSRFFacts{Method: "POST", Origin: []string{""}}, false},
		"two lines that disagree":            {CSRFFacts{Method: "POST", Origin: []string{own, foe}}, false},
		"two lines, the other way round":     {CSRFFacts{Method: "POST", Origin: []string{foe, own}}, false},
		"two lines and the same origin":      {CSRFFacts{Method: "POST", SecFetchSite: "same-origin", Origin: []string{own, foe}}, false},
		"two origins in one line":            {CSRFFacts{Method: "POST", Origin: []string{own + ", " + own}}, false},
		"WebSocket, own origin":              {CSRFFacts{Method: "GET", WebSocket: true, Origin: []string{own}}, true},
		"WebSocket, allowed origin":          {CSRFFacts{Method: "GET", WebSocket: true, Origin: []string{friend}}, true},
		"WebSocket, foreign origin":          {CSRFFacts{Method: "GET", WebSocket: true, SecFetchSite: "same-origin", Origin: []string{foe}}, false},
		"WebSocket, Sec-Fetch-Site alone":    {CSRFFacts{Method: "GET", WebSocket: true, SecFetchSite: "same-origin"}, false},
		"WebSocket by CONNECT, own origin":   {CSRFFacts{Method: "CONNECT", WebSocket: true, Origin: []string{own}}, true},
		"WebSocket, two lines that disagree": {CSRFFacts{Method: "GET", WebSocket: true, Origin: []string{own, friend}}, false},
	} {
		c.facts.SelfOrigin = own
		c.facts.CORSOrigins = append(c.facts.CORSOrigins, friend)
		if got := CSRFSafe(c.facts); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if CSRFSafe(CSRFFacts{Method: "POST", Origin: []string{""}, SelfOrigin: ""}) {
		t.Error("an empty Origin is that of a host without one")
	}
}

func TestPreflights(t *testing.T) {
	t.Parallel()
	one, two := []string{"x"}, []string{"x", "x"}
	for _, c := range []struct {
		method       string
		origin, acrm []string
		want         bool
	}{
		{"OPTIONS", one, one, true},
		{"options", one, one, false},
		{"GET", one, one, false},
		{"OPTIONS", nil, one, false},
		{"OPTIONS", one, nil, false},
		{"OPTIONS", two, one, false},
		{"OPTIONS", one, two, false},
		{"OPTIONS", []string{""}, one, false},
		{"OPTIONS", one, []string{""}, false},
	} {
		if got := IsPreflight(c.method, c.origin, c.acrm); got != c.want {
			t.Errorf("%s %q %q: %v", c.method, c.origin, c.acrm, got)
		}
	}
}

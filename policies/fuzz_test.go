package policies

import (
	"errors"
	"net/url"
	stdpath "path"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// attacks are the seeds of FuzzMatch: spellings that some gateway judged as one path and some server served as another.
var attacks = []string{
	"/public/../admin", "/public/..%2fadmin", "/public/%2e%2e/admin", "/public/..%252fadmin", "//../admin", "/public/..;/admin",
	`/public/..\admin`, "/public/..%5cadmin", "/public/%00", "/public/%c0%ae%c0%ae/admin", "/x/..%2fadmin", "//admin", "/./admin",
	"/%2fadmin", `/\admin`, "/%61dmin", "/admin%2f", "/admin;/public/", "/admin;x", "/admin%3bx", "/admin%20", "/admin%0a", "/admin.", "/admin/",
	"/public/%252e%252e%252fadmin", "/slashes//x", "//slashes/x", "/servlet;x=1/y", "/servlet/;/y", "/enc/a%2fb", "/enc/a%2f..", "/users/me/posts",
	"/users/7/posts/", "/caf%c3%a9", "/%E3%80%82", "/%ef%bc%8e%ef%bc%8e/admin", "/100%25", "/%2525",
	"/hash/C%23", "/twice/a%252Fb", "/twice/a%252F%252e%252e", "/win/a%5cb", "/win/..%5C", "/both/a%5cb%252fadmin", "/both/a%25252Fb%252Fadmin", "/both/a%5cb/admin",
	"/both/x/a%252fadmin", "/twice/%2561dmin", "/twice%252fadmin", "/win%5Cadmin", "/both/a;%255Cadmin", "/both/;x%252Fa/admin", "/both/a%2Fb%5Cadmin", "/.%2576ilogate/me", "/both-any/%5C/admin", "/both-any/;x%252Fadmin", "/both-par/;z%252Fa%252Fy", "/both-any/x%5Cadmin",
}

var fuzzedPatterns = []string{
	"/", "/admin", "/admin/:id", "/public/*rest", "/users/me", "/users/:id/posts", "/users/:id", "/caf\u00e9", "/slashes/*rest",
	"/servlet/:page", "/enc/:name", "/deep/:a/:b/*rest", "/deep/x/:b", "/*rest",
	"/hash/:name", "/twice/*rest", "/twice/admin", "/win/*rest", "/win/admin", "/both/:name/*rest", "/both/:name/admin", "/both/a", "/both-any/*rest", "/both-any/admin", "/both-par/*rest", "/both-par/:x/y",
}

func fuzzedPolicy(t testing.TB) *HostPolicy {
	t.Helper()
	var file strings.Builder
	file.WriteString("host: website.viloforge.com\nupstream: website\nroutes:\n")
	for _, pattern := range fuzzedPatterns {
		extra := ""
		switch first, _, _ := strings.Cut(pattern[1:], "/"); first {
		case "slashes":
			extra = ", double_slash: allow"
		case "servlet":
			extra = ", semicolon: allow"
		case "enc":
			extra = ", encoded_slash: allow"
		case "hash":
			extra = ", encoded_hash: allow"
		case "twice":
			extra = ", double_encoding: allow"
		case "win":
			extra = ", encoded_backslash: allow"
		case "both", "both-any", "both-par":
			extra = ", encoded_hash: allow, double_encoding: allow, encoded_backslash: allow, encoded_slash: allow, double_slash: allow, semicolon: allow"
		}
		file.WriteString("  - { path: \"" + pattern + "\", allow: public" + extra + " }\n")
	}
	return compile(t, file.String())
}

// obvious is the matching of doc.go, written so that it can be seen to be right: all patterns are candidates, and each
// segment leaves only those of the best kind.
func obvious(segments []string) string {
	type candidate struct {
		pattern string
		left    []string
	}
	var candidates []candidate
	for _, p := range fuzzedPatterns {
		candidates = append(candidates, candidate{p, strings.FieldsFunc(p, func(r rune) bool { return r == '/' })})
	}
	keep := func(is func(next string) bool) (kept []candidate) {
		for _, c := range candidates {
			if len(c.left) > 0 && is(c.left[0]) {
				kept = append(kept, candidate{c.pattern, c.left[1:]})
			}
		}
		return kept
	}
	isParam := func(next string) bool { return next[0] == ':' }
	isRest := func(next string) bool { return next[0] == '*' }
	for _, segment := range segments {
		isWord := func(next string) bool { return next == segment && !isParam(next) && !isRest(next) }
		if kept := keep(isWord); kept != nil {
			candidates = kept
		} else if kept := keep(isParam); kept != nil {
			candidates = kept
		} else if kept := keep(isRest); kept != nil {
			return kept[0].pattern
		} else {
			return ""
		}
	}
	for _, c := range candidates {
		if len(c.left) == 0 {
			return c.pattern
		}
	}
	if kept := keep(isRest); kept != nil {
		return kept[0].pattern
	}
	return ""
}

// fields are the segments of a decoded path, empty ones left out.
func fields(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// FuzzMatch: whatever passes is served, by a Go server that cleans its path and by a WSGI server that decodes once, as
// the very route that was decided on.
func FuzzMatch(f *testing.F) {
	for _, path := range attacks {
		f.Add(path)
	}
	h := fuzzedPolicy(f)
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := request.Canonicalise("GET", "website.viloforge.com", raw)
		if err != nil {
			return
		}
		m := h.Match(target.Path, "GET")
		if m.Ambiguities != 0 || m.Divergence != "" {
			return // 400
		}
		forwarded := target.Path.String()
		u, err := url.ParseRequestURI(forwarded)
		if err != nil {
			t.Fatalf("%q is forwarded as %q: %v", raw, forwarded, err)
		}
		// net/http's mux cleans the decoded path; package http/httputil and most clients parse the path again.
		if got := obvious(withoutParams(m, fields(stdpath.Clean(u.Path)))); !holdsSlash(m, forwarded) && got != m.Pattern {
			t.Errorf("%q is decided on as %q, and served by Go as %q", raw, m.Pattern, got)
		}
		if u.EscapedPath() != forwarded {
			t.Errorf("%q: Go would forward %q as %q", raw, forwarded, u.EscapedPath())
		}
		if got := obvious(withoutParams(m, fields(wsgi(forwarded)))); !holdsSlash(m, forwarded) && got != m.Pattern {
			t.Errorf("%q is decided on as %q, and served by WSGI as %q", raw, m.Pattern, got)
		}
		if permits(m, request.DoubleEncoding|request.EncodedBackslash) && target.Path.DecodesFurther() {
			checkEveryReading(t, m, raw, forwarded)
			return
		}
		for range 3 { // a server that decodes too often finds no other segments
			again, err := url.PathUnescape(u.Path)
			if err != nil {
				break
			}
			if strings.Count(again, "/") != strings.Count(u.Path, "/") || slices.Contains(fields(again), "..") || strings.ContainsAny(again, "\x00\\") {
				t.Errorf("%q is decoded further to %q", raw, again)
			}
			u.Path = again
		}
	})
}

// checkEveryReading: whoever decodes the path more often, or takes \ for /, or takes what it decoded for no separator, is
// asked for the route that was decided on, and for no dot segment.
func checkEveryReading(t *testing.T, m Match, raw, forwarded string) {
	t.Helper()
	check := func(path string) {
		if got := obvious(withoutParams(m, fields(path))); got != m.Pattern {
			t.Errorf("%q is decided on as %q, and served as %q by who reads %q", raw, m.Pattern, got, path)
		}
		if slices.Contains(fields(path), "..") || strings.Contains(path, "\x00") {
			t.Errorf("%q is read as %q", raw, path)
		}
	}
	for range 4 {
		next, err := url.PathUnescape(forwarded)
		if err != nil {
			break
		}
		forwarded = next
		check(forwarded)
		check(strings.ReplaceAll(forwarded, `\`, "/"))
		check(strings.Replace(forwarded, `\`, "/", 1))
	}
}

// holdsSlash reports whether the path needed and had the permission for an encoded slash: then servers do differ, as the
// route says that its own does not.
func holdsSlash(m Match, path string) bool {
	return permits(m, request.EncodedSlash) && strings.Contains(path, "%2F")
}

func permits(m Match, o request.Ambiguity) bool {
	return m.Route != nil && m.Route.permittedAmbiguities&o != 0
}

// withoutParams are the segments as a server sees them for which a semicolon begins parameters.
func withoutParams(m Match, segments []string) []string {
	if !permits(m, request.Semicolon) {
		return segments
	}
	var kept []string
	for _, s := range segments {
		if s, _, _ = strings.Cut(s, ";"); s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// wsgi is PATH_INFO as gunicorn makes it and Django reads it: unquoted once to bytes, handed on as Latin-1, and encoded
// back to bytes.
func wsgi(path string) string {
	var latin1 []rune
	for i := 0; i < len(path); i++ {
		if path[i] == '%' && i+2 < len(path) {
			if high, low := strings.IndexByte("0123456789ABCDEF", path[i+1]), strings.IndexByte("0123456789ABCDEF", path[i+2]); high >= 0 && low >= 0 {
				latin1 = append(latin1, rune(high<<4|low))
				i += 2
				continue
			}
		}
		latin1 = append(latin1, rune(path[i]))
	}
	back := make([]byte, len(latin1))
	for i, r := range latin1 {
		back[i] = byte(r)
	}
	return string(back)
}

// FuzzCompile: no file makes the compiler panic, and every error has a place inside the file.
func FuzzCompile(f *testing.F) {
	files, err := ShippedFor("viloforge.com")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		f.Add(string(file.Data))
	}
	f.Add(overlapping)
	f.Add(deciding)
	f.Add("host: \"*.a.viloforge.com\"\nupstream: website\nroutes: [{ path: \"/\\u00e9\", allow: { users: [\"partner:b\"] } }]\ntests: [{ get: /é, as: , expect: login }]\n")
	f.Add("host: {}\nroutes: [ , {}]\ntests: [{get: {}}, [], {as: [], expect: x}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := Compile([]File{{"a.yaml", []byte(text)}}, testOptions)
		if (set == nil) == (err == nil) {
			t.Fatalf("%v and %v", set, err)
		}
		if err == nil {
			return
		}
		var errs strictyaml.Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + 1
		for _, e := range errs {
			if e.Place.File != "a.yaml" || e.Place.Line < 1 || e.Place.Line > lines || e.Place.Column < 1 || e.Msg == "" || strings.Contains(e.Msg, "\n") {
				t.Errorf("%q at %s", e.Msg, e.Place)
			}
		}
	})
}

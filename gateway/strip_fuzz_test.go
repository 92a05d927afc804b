package gateway

import (
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies/request"
)

// FuzzForwardedPath: what a backend is asked for, where a prefix is stripped, is a piece of what was authorised: it ends as
// that does, begins with one slash, lacks the segments of the prefix and no other that counts in matching, and whoever makes it canonical again finds nothing to change and nothing to refuse.
func FuzzForwardedPath(f *testing.F) {
	for _, path := range []string{"/app/v1", "/app/v1/", "/app/v1/x", "/%61pp/v1//x", "//app/v1/%2F%2f", "/app;a/v1;b/c;d", "/app/v1/..", "/app/v1/%252e", "/app//v1////x", "/;/app/v1/x", "/%3Bz/app/;/v1/x", "/app/v1/C%23", "/app/v1/%5Cx", "/app%5Cv1/x", "/app/v1/a%252F%255Cb"} {
		f.Add(path)
	}
	host := compile(f, `
host: app.example.test
upstream: app
routes:
  - { path: "/app/v1/*rest", allow: public, strip_prefix: /app/v1, encoded_slash: allow, double_slash: allow, semicolon: allow, encoded_hash: allow, double_encoding: allow, encoded_backslash: allow }
`).Lookup("app.example.test")
	f.Fuzz(func(t *testing.T, path string) {
		target, err := request.Canonicalise("GET", "app.example.test", path)
		if err != nil {
			return
		}
		match := host.Match(target.Path, "GET")
		if match.Route == nil {
			return
		}
		got := match.Route.ForwardPath(target.Path)
		if got[0] != '/' || strings.HasPrefix(got, "//") || got != "/" && !strings.HasSuffix(target.Path.String(), got) {
			t.Fatalf("%q is forwarded as %q", target.Path, got)
		}
		if all, rest := counting(target.Path.String()), counting(got); !slices.Equal(all, append([]string{"app", "v1"}, rest...)) {
			t.Fatalf("%q is forwarded as %q: of the segments %q, %q are left", target.Path, got, all, rest)
		}
		again, err := request.Canonicalise("GET", "app.example.test", got)
		if err != nil || again.Path.String() != got {
			t.Fatalf("%q is forwarded as %q, which is read as %q, %v", target.Path, got, again.Path, err)
		}
	})
}

// counting are the segments of a canonical path that count in matching, decoded.
func counting(path string) (segments []string) {
	for segment := range strings.SplitSeq(path, "/") {
		decoded, _, _ := strings.Cut(string(request.DecodeSegment(nil, segment)), ";")
		if decoded != "" {
			segments = append(segments, decoded)
		}
	}
	return segments
}
